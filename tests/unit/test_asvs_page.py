"""docs/asvs.md has every row of the chapter, and the tests that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "asvs.md").read_text()
ROWS = {1: 3, 2: 4, 3: 2, 4: 5, 5: 3, 6: 2}
"""How many rows each section of V7 has in ASVS 5.0.0."""
OF_THE_PROJECT = {"7.1.1", "7.1.3", "7.5.1", "7.5.3"}
"""What asks for documents, or for pages that a project has; the others have a test of ours."""
SHOWN = dict(re.findall(r"^\| (7\.\d\.\d) \|.*\|([^|]*)\|$", PAGE, re.MULTILINE))


def test_every_row_of_the_chapter_is_there() -> None:
    assert list(SHOWN) == [f"7.{section}.{row}" for section, rows in ROWS.items() for row in range(1, rows + 1)]


@pytest.mark.parametrize("row", SHOWN)
def test_tests_of_a_row_exist(row: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", SHOWN[row])
    assert bool(named) is (row not in OF_THE_PROJECT)
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), f"{path} has no {test}"
