"""The memory engine where tests freeze time and views forget to await."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from freezegun import freeze_time

from django_multisession.breaker import breaker_for
from django_multisession.engines.memory import SessionStore


def stored(**data: Any) -> str:
    session = SessionStore()
    session.update(data)
    session.save()
    return str(session.session_key)


def test_session_made_before_time_is_frozen_is_there_after() -> None:
    key = stored(a=1)
    with freeze_time(timedelta(days=1)):
        assert SessionStore(key).get("a") == 1
    assert SessionStore(key).get("a") == 1


def test_session_ends_by_the_frozen_clock() -> None:
    with freeze_time("2030-01-01") as frozen:
        key = stored(a=1)
        frozen.tick(timedelta(days=13))
        assert SessionStore(key).get("a") == 1
        frozen.tick(timedelta(days=2))
        assert SessionStore(key).get("a") is None


def test_breaker_that_opened_while_time_was_frozen_probes_again() -> None:
    breaker = breaker_for("frozen://")
    with freeze_time("2030-01-01"):
        breaker._open("a test", probed=0.0)
    from django_multisession.runtime import monotonic

    assert breaker._next_probe - monotonic() < 5


@pytest.mark.parametrize("debug", [True, False])
def test_synchronous_access_in_a_loop_is_refused_under_debug(settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    key = stored(a=1)

    async def view() -> Any:
        return SessionStore(key)["a"]

    if debug:
        with pytest.raises(SynchronousOnlyOperation):
            asyncio.run(view())
    else:
        assert asyncio.run(view()) == 1
