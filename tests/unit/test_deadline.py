"""The budget that a request's calls share, and the circuit breaker. Time stands still unless a test moves it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from types import SimpleNamespace
from uuid import uuid4

import pytest

from django_multisession import deadline
from django_multisession.deadline import (
    FAILURES_TO_OPEN,
    PROBE_INTERVAL,
    Breaker,
    Guard,
    breaker_for,
    shared_budget,
)
from django_multisession.exceptions import StoreUnavailable

LOCATION = "redis://127.0.0.1:1/0"


class Clock:
    """The monotonic clock of the module under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    # The module's own name for time: the clock of everything else goes on.
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(LOCATION)


def guard(breaker: Breaker, total: float = 1.0) -> Guard:
    return Guard(breaker, total, total / 2, (OSError,), (TimeoutError,))


def call(breaker: Breaker, clock: Clock, seconds: float, error: Exception | None = None) -> float:
    """Make a call that takes so many seconds; return those that it was given."""
    with guard(breaker) as given:
        clock.advance(seconds)
        if error is not None:
            raise error
    return given


# Budget


def spent() -> float:
    """Return the seconds that the shared budget has counted."""
    budget = deadline._current.get()
    assert budget is not None
    return budget.spent


def test_budget_counts_the_time_of_calls_alone(breaker: Breaker, clock: Clock) -> None:
    with shared_budget():
        call(breaker, clock, 0.25)
        clock.advance(60)
        call(breaker, clock, 0.5)
        assert spent() == pytest.approx(0.75)


def test_budget_counts_calls_that_overlap_once(breaker: Breaker, clock: Clock) -> None:
    with shared_budget():
        first, second, third = guard(breaker), guard(breaker), guard(breaker)
        first.__enter__()
        clock.advance(0.25)
        second.__enter__()
        clock.advance(0.125)
        first.__exit__(None, None, None)
        assert third.__enter__() == 0.5  # of the second's half, a quarter and an eighth are gone
        clock.advance(0.25)
        third.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert spent() == pytest.approx(0.625)


# Guard and shared_budget


def test_guard_gives_half_of_the_total_to_one_call(breaker: Breaker, clock: Clock) -> None:
    assert call(breaker, clock, 0.0) == 0.5


def test_guard_in_a_shared_budget_gives_what_is_left(breaker: Breaker, clock: Clock) -> None:
    with shared_budget():
        assert call(breaker, clock, 0.4) == 0.5
        clock.advance(60)  # the view's own time does not count
        assert call(breaker, clock, 0.4) == 0.5
        assert call(breaker, clock, 0.1) == pytest.approx(0.2)
        assert call(breaker, clock, 0.2) == pytest.approx(0.1)
        with pytest.raises(StoreUnavailable, match=r"TIMEOUT\) are used up") as caught:
            call(breaker, clock, 0.0)
    assert not caught.value.retryable
    assert caught.value.__cause__ is None


def test_guard_without_a_shared_budget_starts_anew(breaker: Breaker, clock: Clock) -> None:
    for _ in range(5):
        assert call(breaker, clock, 0.9) == 0.5


def test_guard_of_a_refused_call_leaves_the_budget_balanced(breaker: Breaker, clock: Clock) -> None:
    with shared_budget():
        call(breaker, clock, 1.0)
        with pytest.raises(StoreUnavailable):
            call(breaker, clock, 0.0)
        budget = deadline._current.get()
        assert budget is not None
        clock.advance(60)
        assert budget.active == 0
        assert budget.spent == pytest.approx(1.0)


def test_shared_budget_inside_another_changes_nothing(breaker: Breaker, clock: Clock) -> None:
    with shared_budget():
        call(breaker, clock, 0.4)
        with shared_budget():
            call(breaker, clock, 0.4)
        assert call(breaker, clock, 0.1) == pytest.approx(0.2)


def test_shared_budget_ends_with_its_block(breaker: Breaker, clock: Clock) -> None:
    with shared_budget():
        call(breaker, clock, 0.9)
    assert deadline._current.get() is None
    with pytest.raises(KeyError), shared_budget():
        raise KeyError
    assert deadline._current.get() is None


def test_shared_budget_is_shared_by_the_tasks_of_a_request(breaker: Breaker, clock: Clock) -> None:
    async def request() -> None:
        both_started = asyncio.Barrier(2)

        async def task() -> None:
            with guard(breaker):
                await both_started.wait()

        with shared_budget():
            tasks = [asyncio.create_task(task()) for _ in range(2)]
            await asyncio.sleep(0)
            clock.advance(0.7)
            await asyncio.gather(*tasks)
            assert call(breaker, clock, 0.0) == pytest.approx(0.3)

    asyncio.run(request())


def test_shared_budget_is_not_shared_by_requests(breaker: Breaker, clock: Clock) -> None:
    def request() -> float:
        with shared_budget():
            call(breaker, clock, 0.4)
            return call(breaker, clock, 0.0)

    with shared_budget():
        call(breaker, clock, 0.9)
        assert contextvars.Context().run(request) == 0.5


def test_guard_turns_outages_into_store_unavailable(breaker: Breaker, clock: Clock) -> None:
    cause = ConnectionResetError("reset")
    with pytest.raises(StoreUnavailable, match="ConnectionResetError") as caught:
        call(breaker, clock, 0.0, cause)
    assert caught.value.__cause__ is cause
    assert caught.value.retryable
    assert LOCATION in str(caught.value)


def test_guard_of_a_timeout_says_not_to_try_again(breaker: Breaker, clock: Clock) -> None:
    with pytest.raises(StoreUnavailable, match="TimeoutError") as caught:
        call(breaker, clock, 0.5, TimeoutError())
    assert not caught.value.retryable


def test_guard_leaves_other_errors_as_they_are(breaker: Breaker, clock: Clock) -> None:
    for _ in range(FAILURES_TO_OPEN + 1):
        with pytest.raises(LookupError):
            call(breaker, clock, 0.0, LookupError())
    assert call(breaker, clock, 0.0) == 0.5


# Breaker


def fail(breaker: Breaker, clock: Clock, error: OSError) -> None:
    with pytest.raises(StoreUnavailable):
        call(breaker, clock, 0.0, error)


def opened(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock, TimeoutError())


def is_open(breaker: Breaker, clock: Clock) -> bool:
    try:
        call(breaker, clock, 0.0)
    except StoreUnavailable:
        return True
    return False


def test_breaker_opens_at_the_first_timeout(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, clock, TimeoutError())
    assert is_open(breaker, clock)


def test_breaker_opens_at_the_third_connection_error_in_a_row(breaker: Breaker, clock: Clock) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        fail(breaker, clock, ConnectionRefusedError())
    assert not is_open(breaker, clock)  # which was an answer
    for _ in range(FAILURES_TO_OPEN):
        fail(breaker, clock, ConnectionRefusedError())
    assert is_open(breaker, clock)


def test_breaker_refuses_without_calling(breaker: Breaker, clock: Clock) -> None:
    opened(breaker, clock)
    with pytest.raises(StoreUnavailable, match="a moment ago") as caught, guard(breaker):
        raise AssertionError("the server was called")
    assert not caught.value.retryable


def test_breaker_lets_one_probe_a_second_through(breaker: Breaker, clock: Clock) -> None:
    opened(breaker, clock)
    for _ in range(3):
        clock.advance(PROBE_INTERVAL - 0.01)
        assert breaker.refuses(clock.now)
        clock.advance(0.01)
        assert [breaker.refuses(clock.now) for _ in range(5)] == [False, True, True, True, True]


def test_breaker_stays_open_after_a_probe_that_failed(breaker: Breaker, clock: Clock) -> None:
    opened(breaker, clock)
    clock.advance(PROBE_INTERVAL)
    fail(breaker, clock, ConnectionRefusedError())
    assert is_open(breaker, clock)


def test_breaker_closes_after_a_probe_that_was_answered(breaker: Breaker, clock: Clock) -> None:
    opened(breaker, clock)
    clock.advance(PROBE_INTERVAL)
    assert not is_open(breaker, clock)
    assert not breaker.refuses(clock.now)
    fail(breaker, clock, ConnectionRefusedError())
    assert not is_open(breaker, clock)


def test_breaker_lets_one_of_many_threads_probe(breaker: Breaker, clock: Clock) -> None:
    opened(breaker, clock)
    clock.advance(PROBE_INTERVAL)
    barrier, answers = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait(10)
        answers.append(breaker.refuses(clock.now))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] + [True] * 7


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message.partition(LOCATION)[2]) for record in caplog.records]


DOWN = ("ERROR", " is unavailable: TimeoutError")
UP = ("INFO", " is available again.")


def test_breaker_logs_once_an_outage(breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "django_multisession")
    for _ in range(2):
        opened(breaker, clock)
        breaker.report("reported by the middleware too")
        fail(breaker, clock, ConnectionResetError())
        clock.advance(PROBE_INTERVAL)
        assert not is_open(breaker, clock)
    assert messages(caplog) == [DOWN, UP] * 2


def test_breaker_logs_an_outage_after_a_budget_was_used_up(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "django_multisession")
    breaker.report("the request's 1.0 s are used up")
    call(breaker, clock, 0.0)
    opened(breaker, clock)
    assert messages(caplog) == [
        ("ERROR", " is unavailable: the request's 1.0 s are used up"),
        UP,
        DOWN,
    ]


def test_breaker_for_a_location_is_one_of_the_process() -> None:
    location = f"redis://{uuid4()}"
    assert breaker_for(location) is breaker_for(location)
    assert breaker_for(location) is not breaker_for(location + "/1")
