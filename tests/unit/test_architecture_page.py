"""docs/architecture.md names every room of the package, from the ground up."""

from __future__ import annotations

import re

from tests.unit.test_imports import MODULES, ROOT, room_of

PAGE = (ROOT.parent / "docs" / "architecture.md").read_text()
TABLE = PAGE.partition("## The rooms")[2].partition("\n## ")[0]
NAMED = [
    name
    for line in TABLE.splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`(\w+)/?`", line.split("|")[1])
]


def test_table_names_every_room() -> None:
    assert sorted(NAMED) == sorted({module.partition(".")[0] for module in MODULES if module})


def test_table_begins_at_the_ground() -> None:
    assert [room_of(name) for name in NAMED] == sorted(map(room_of, NAMED))
