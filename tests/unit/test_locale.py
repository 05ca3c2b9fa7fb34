"""What is compiled is what is written, and all of it is translated."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils.translation import templatize

import django_multisession

ROOT = Path(django_multisession.__file__).parent
APPS = {"sessions": ROOT, "registry": ROOT / "registry"}
LANGUAGES = ["de", "es", "fr"]
MESSAGE = re.compile(r'^msgid "(.+)"\n(?:msgid_plural "(.+)"\n)?((?:msgstr.* ".*"\n?)+)', re.MULTILINE)
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")
each_catalogue = pytest.mark.parametrize(("app", "language"), [(app, lang) for app in APPS for lang in LANGUAGES])


def catalogue(app: str, language: str) -> dict[str, tuple[str, list[str]]]:
    """Return each text of a catalogue's source with its plural and its translations."""
    source = (APPS[app] / "locale" / language / "LC_MESSAGES" / "django.po").read_text()
    assert "#, fuzzy" not in source
    return {text: (plural, re.findall('"(.*)"', given)) for text, plural, given in MESSAGE.findall(source)}


def texts(app: str) -> Iterator[str]:
    """Yield what an application has to translate, from its modules and templates."""
    own = APPS[app]
    paths = [path for path in own.rglob("*.py") if app == "registry" or "registry" not in path.parts]
    sources = [*(path.read_text() for path in paths), *map(_calls, (own / "templates").rglob("*.html"))]
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            names = {"_", "gettext", "gettext_lazy", "ngettext"}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield from (each.value for each in node.args if isinstance(each, ast.Constant))  # type: ignore[misc]  # a message is a text


def _calls(path: Path) -> str:
    """Return a template's texts as calls of gettext, as makemessages finds them."""
    return "\n".join(re.findall(r"n?gettext\(u'.*?'(?:, count)?\)", templatize(path.read_text())))


@each_catalogue
def test_compiled_catalogue_is_that_of_its_source(app: str, language: str) -> None:
    written = catalogue(app, language)
    assert written
    with (APPS[app] / "locale" / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for text, (plural, given) in written.items():
        numbers = (1, 5)[: len(given)]
        assert [compiled.ngettext(text, plural, n) if plural else compiled.gettext(text) for n in numbers] == given


@each_catalogue
def test_every_text_is_translated(app: str, language: str) -> None:
    found = set(texts(app))
    assert found
    written = catalogue(app, language)
    plurals = {plural for plural, _ in written.values()}
    assert found <= written.keys() | plurals
    assert all(all(given) for _, given in written.values())


@each_catalogue
def test_translation_has_the_same_placeholders(app: str, language: str) -> None:
    for text, (plural, given) in catalogue(app, language).items():
        assert set(PLACEHOLDER.findall(given[-1])) == set(PLACEHOLDER.findall(plural or text))
