"""What waits and what remembers when, where a test has frozen time, moves it, or has it jump at every look."""

from __future__ import annotations

from datetime import timedelta

import pytest
from freezegun import freeze_time

from django_multisession.bridge import run_sync
from django_multisession.deadline import Allowance, Operation, left
from django_multisession.runtime import Event, monotonic, reset
from django_multisession.sessions import touch_throttle
from django_multisession.stores import pools
from django_multisession.stores.pools import Pool


def test_operation_has_time_left_where_frozen_time_ticks() -> None:
    with freeze_time("2030-01-01") as frozen, Operation():
        frozen.tick(timedelta(days=1))
        assert left(1000.0) > 900
    with freeze_time("2030-01-01", auto_tick_seconds=3600), Operation():
        assert left(1000.0) > 900


def test_operation_that_began_before_time_was_frozen_has_time_left() -> None:
    with Operation(), freeze_time("2030-01-01"):
        assert left(1000.0) > 900


def test_wait_has_time_left_where_frozen_time_ticks() -> None:
    with freeze_time("2030-01-01") as frozen:
        allowance = Allowance(1000.0)
        frozen.tick(3600)
        assert allowance.left() > 900


def test_touch_claimed_under_frozen_time_is_claimed_for_a_burst_only() -> None:
    reset(Event.TEST)
    with freeze_time("2030-01-01"):
        assert touch_throttle.claim("key", b"1")
    _, since = touch_throttle._latest.value["key"]
    assert since <= monotonic()
    reset(Event.TEST)


def test_client_lent_under_frozen_time_grows_old_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pool: Pool[object] = Pool(object, lambda client: None)
    with freeze_time("2030-01-01"):
        first = run_sync(pool.use(lambda client: client))
    assert run_sync(pool.use(lambda client: client)) is first
    later = monotonic() + pools.MAX_IDLE + 1
    monkeypatch.setattr(pools, "monotonic", lambda: later)
    assert run_sync(pool.use(lambda client: client)) is not first
