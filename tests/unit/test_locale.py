"""What is compiled is what is written."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest

import django_multisession

LOCALE = Path(django_multisession.__file__).parent / "locale"


@pytest.mark.parametrize("language", ["de", "es", "fr"])
def test_compiled_catalogue_is_that_of_its_source(language: str) -> None:
    directory = LOCALE / language / "LC_MESSAGES"
    source = (directory / "django.po").read_text()
    written = dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', source, re.MULTILINE))
    assert written
    with (directory / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {text: compiled.gettext(text) for text in written} == written


@pytest.mark.parametrize("language", ["de", "es", "fr"])
def test_every_text_of_the_page_is_translated(language: str) -> None:
    page = (LOCALE.parent / "templates" / "503_sessions.html").read_text()
    source = (LOCALE / language / "LC_MESSAGES" / "django.po").read_text()
    texts = re.findall(r'translate "([^"]+)"', page)
    assert texts
    assert not [text for text in texts if f'msgid "{text}"' not in source]
