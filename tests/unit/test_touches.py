"""Which of a burst's requests prolongs an unchanged session."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from django_multisession.sessions import touches


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(touches, "time", SimpleNamespace(monotonic=lambda: clock.now))
    touches._latest.clear()
    yield clock
    touches._latest.clear()


@pytest.mark.usefixtures("clock")
def test_first_of_a_version_is_first_alone() -> None:
    assert touches.first("place", b"1")
    assert not touches.first("place", b"1")
    assert touches.first("other", b"1")
    assert touches.first("place", b"2")


@pytest.mark.usefixtures("clock")
def test_first_after_a_failure_is_first_again() -> None:
    assert touches.first("place", b"1")
    touches.failed("place")
    assert touches.first("place", b"1")


def test_first_after_a_burst_is_first_again(clock: SimpleNamespace) -> None:
    # What was written may have been rolled back, or lost in a failover.
    assert touches.first("place", b"1")
    clock.now += 6
    assert touches.first("place", b"1")


@pytest.mark.usefixtures("clock")
def test_memory_of_touches_is_bounded() -> None:
    for number in range(5000):
        touches.first(str(number), b"1")
    assert len(touches._latest) <= 1024
