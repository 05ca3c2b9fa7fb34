"""A wrong LOCATION is shown without its password, in the same words by every store."""

from __future__ import annotations

from typing import Any

import pytest

from django_multisession.stores.wording import lost, sentence, without_password, wrong_location


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("redis://user:secret@host:1/0?x=secret#secret", "redis://host:1/0"),
        ("redis://sec://ret@host/0", "redis://host/0"),
        ("user:secret@host:1", "host:1"),
        ("mongodb://u:sec@ret@host/db", "mongodb://host/db"),
        ("host", "host"),
        ("", ""),
    ],
)
def test_location_is_shown_without_its_password(location: str, shown: str) -> None:
    assert without_password(location) == shown


@pytest.mark.parametrize(
    ("location", "shown"),
    [("redis://u:secret@h", "'redis://h'"), (("secret",), "of type list"), (7, "of type int")],
)
def test_wrong_location_says_what_it_is_and_must_be(location: Any, shown: str) -> None:
    assert str(wrong_location(location, "a host")) == f"MULTISESSION: LOCATION is {shown}; it must be a host."


def test_lost_connection_is_told_in_the_systems_words() -> None:
    assert lost(ConnectionResetError(104, "Connection reset by peer")) == (
        "connection lost: ConnectionResetError, Connection reset by peer"
    )
    assert lost(ConnectionResetError()) == "connection lost: ConnectionResetError"


@pytest.mark.parametrize(("says", "ends"), [("no", "no."), ("no.", "no."), ("Did you mean 'x'?", "Did you mean 'x'?")])
def test_sentence_of_a_client_library_ends_once(says: str, ends: str) -> None:
    assert sentence(ValueError(says)) == ends
