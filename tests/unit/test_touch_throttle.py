"""Which of a burst's requests prolongs an unchanged session."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from django_multisession.runtime import Event, reset
from django_multisession.sessions import touch_throttle


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(touch_throttle, "monotonic", lambda: clock.now)
    reset(Event.TEST)
    yield clock
    reset(Event.TEST)


@pytest.mark.usefixtures("clock")
def test_first_of_a_version_is_first_alone() -> None:
    assert touch_throttle.claim("storage key", b"1")
    assert not touch_throttle.claim("storage key", b"1")
    assert touch_throttle.claim("other", b"1")
    assert touch_throttle.claim("storage key", b"2")


@pytest.mark.usefixtures("clock")
def test_first_after_a_failure_is_first_again() -> None:
    assert touch_throttle.claim("storage key", b"1")
    touch_throttle.release("storage key")
    assert touch_throttle.claim("storage key", b"1")


def test_first_after_a_burst_is_first_again(clock: SimpleNamespace) -> None:
    # What was written may have been rolled back, or lost in a failover.
    assert touch_throttle.claim("storage key", b"1")
    clock.now += 6
    assert touch_throttle.claim("storage key", b"1")


@pytest.mark.usefixtures("clock")
def test_memory_of_touch_throttle_is_bounded() -> None:
    for number in range(5000):
        touch_throttle.claim(str(number), b"1")
    assert len(touch_throttle._latest.value) <= 1024
