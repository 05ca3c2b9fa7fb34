"""docs/settings.md has an entry for every key of MULTISESSION, with the default that conf.py has, and no other."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.test import override_settings

from django_multisession.conf import GUARDED, Entry, problems

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text()
README = (ROOT / "README.md").read_text()
ENTRIES = dict(re.findall(r"^### `([A-Z_]+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
DEFAULT = re.compile(r"^- Default: (?:`([^`]+)`|not set)", re.MULTILINE)


def allowed(**entry: object) -> list[str]:
    """Return the keys that an error about an unknown one names."""
    with override_settings(MULTISESSION={"cart": {"ENGINE": "django_multisession.engines.memory", **entry}}):
        (sentence,) = problems("cart")
    return sentence.partition("Allowed are ")[2].rstrip(".").split(", ")


def test_every_key_has_an_entry_and_no_other() -> None:
    assert sorted(ENTRIES) == sorted(allowed(UNKNOWN=1))


@pytest.mark.parametrize("key", ENTRIES)
def test_entry_tells_type_default_and_example(key: str) -> None:
    text = ENTRIES[key]
    assert re.search(r"^- Type: \S", text, re.MULTILINE)
    assert re.search(r"^```python\n(.*\n)*?.*\"" + key + '"', text, re.MULTILINE)
    default = DEFAULT.search(text)
    assert default
    value = default[1] and ast.literal_eval(default[1])
    (field,) = (one for one in fields(Entry) if one.name == key.lower())
    expected = getattr(Entry("default"), field.name)
    assert (GUARDED | set(value or ()) if key == "GUARD" else value) == expected


@pytest.mark.parametrize("key", [key for key, text in ENTRIES.items() if (found := DEFAULT.search(text)) and found[1]])
def test_default_can_be_written(key: str) -> None:
    default = DEFAULT.search(ENTRIES[key])
    assert default
    entry = {"ENGINE": "django_multisession.engines.memory", key: ast.literal_eval(default[1])}
    with override_settings(MULTISESSION={"cart": entry}):
        assert problems("cart") == []


def test_every_key_of_a_cookie_is_described() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", ENTRIES["COOKIE"], re.MULTILINE)
    assert rows == allowed(COOKIE={"UNKNOWN": 1})


@pytest.mark.parametrize("key", ENTRIES)
def test_readme_names_the_key(key: str) -> None:
    assert f"`{key}`" in README
