"""The tree of exceptions, as applications catch it."""

from __future__ import annotations

from types import ModuleType

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_multisession import exceptions, sessions
from django_multisession.exceptions import BudgetSpent, MultisessionError, QueueFull, StoreRefused, StoreUnavailable
from django_multisession.sessions.exceptions import SessionConflict, SessionEnded


@pytest.mark.parametrize("module", [exceptions, sessions.exceptions])
def test_every_exception_has_one_base(module: ModuleType) -> None:
    ours = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    assert ours
    assert all(issubclass(each, MultisessionError) for each in ours)


@pytest.mark.parametrize("error", [SessionConflict, SessionEnded])
def test_what_a_save_meets_is_an_update_error_which_django_answers(error: type[Exception]) -> None:
    assert issubclass(error, UpdateError)


@pytest.mark.parametrize("error", [StoreRefused, BudgetSpent, QueueFull])
def test_what_keeps_a_request_from_its_session_is_caught_as_one(error: type[Exception]) -> None:
    assert issubclass(error, StoreUnavailable)


def test_store_unavailable_names_location_and_reason() -> None:
    error = StoreUnavailable("redis://127.0.0.1:6379/0", "TimeoutError")
    assert "redis://127.0.0.1:6379/0 is unavailable: TimeoutError" in str(error)
    assert error.location == "redis://127.0.0.1:6379/0"
    assert not error.retryable
    assert StoreUnavailable("x", "y", retryable=True).retryable
