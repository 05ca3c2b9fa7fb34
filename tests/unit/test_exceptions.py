"""The tree of exceptions, as applications catch it."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_multisession import exceptions
from django_multisession.exceptions import MultisessionError, SessionConflict, StoreUnavailable


@pytest.mark.parametrize(
    "name",
    ["StoreUnavailable", "SessionConflict", "SessionTooLarge", "SessionNotSerializable", "InvalidRecord"],
)
def test_every_exception_has_one_base(name: str) -> None:
    assert issubclass(getattr(exceptions, name), MultisessionError)


def test_conflict_is_an_update_error_which_django_answers() -> None:
    assert issubclass(SessionConflict, UpdateError)


def test_store_unavailable_names_location_and_reason() -> None:
    error = StoreUnavailable("redis://127.0.0.1:6379/0", "TimeoutError")
    assert "redis://127.0.0.1:6379/0 is unavailable: TimeoutError" in str(error)
    assert error.location == "redis://127.0.0.1:6379/0"
    assert not error.retryable
    assert StoreUnavailable("x", "y", retryable=True).retryable
