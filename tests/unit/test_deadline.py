"""How long a request may wait: the clocks that count waiting alone, the budget of a request, its operations."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from django_multisession import deadline, loop_time
from django_multisession.bridge import run_sync
from django_multisession.deadline import (
    PRECISION,
    Allowance,
    Budget,
    Operation,
    current_operation,
    left,
    request_budget,
)
from django_multisession.loop_time import TICK, LoopClock


@contextmanager
def request_with_a_budget() -> Iterator[None]:
    """Do for the block what the middleware does for a request."""
    budget = request_budget()
    try:
        yield
    finally:
        if budget is not None:
            budget.close()


class Clock:
    """The monotonic clock of the module under test, and the processor time of its thread."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.busy = 0.0
        self.asked = 0

    def thread_time(self) -> float:
        self.asked += 1
        return self.busy

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.busy += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    # The modules' own names for time: the clock of everything else goes on.
    monkeypatch.setattr(deadline, "monotonic", lambda: clock.now)
    monkeypatch.setattr(loop_time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(deadline, "time", SimpleNamespace(thread_time=clock.thread_time))
    return clock


# Operations and budgets, without an event loop.


def test_outside_of_an_operation_all_of_the_time_is_left() -> None:
    assert current_operation() is None
    assert left(0.7) == 0.7


def test_operation_counts_what_it_waits(clock: Clock) -> None:
    with Operation():
        clock.wait(0.25)
        assert left(1.0) == pytest.approx(0.75)
        clock.wait(1.0)
        assert left(1.0) == pytest.approx(-0.25)


def test_operation_does_not_count_while_its_thread_runs(clock: Clock) -> None:
    with Operation():
        clock.work(5)
        clock.wait(0.25)
        assert left(1.0) == pytest.approx(0.75)


def test_thread_is_asked_once_in_a_while_how_long_it_has_run(clock: Clock) -> None:
    with Operation():
        for _ in range(10):
            clock.work(PRECISION / 4)
            left(1.0)
        assert left(1.0) == pytest.approx(1.0, abs=PRECISION)
    assert clock.asked in (2, 3, 4)
    assert PRECISION == 0.005  # what may be taken for waiting though the thread ran


def test_operation_inside_another_is_a_part_of_it(clock: Clock) -> None:
    with Operation() as outer:
        clock.wait(0.25)
        with Operation() as inner:
            assert inner is outer
            clock.wait(0.25)
        assert current_operation() is outer
        assert left(1.0) == pytest.approx(0.5)
    assert current_operation() is None


def test_operation_without_a_request_has_a_budget_of_its_own(clock: Clock) -> None:
    for _ in range(5):
        with Operation():
            assert left(1.0) == pytest.approx(1.0)
            clock.wait(0.9)


def test_operation_may_ask_once_more_for_each(clock: Clock) -> None:
    with Operation() as first:
        assert not first.has_repeated
        first.has_repeated = True
    with Operation() as second:
        assert not second.has_repeated


def test_operation_does_not_go_on_in_another_thread(clock: Clock) -> None:
    # As in a loop that async_to_sync makes inside of a save(): its thread has not run for as long as this one.
    clock.work(5)
    found = []

    def ask() -> None:
        clock.busy = 0.0
        found.append((current_operation(), left(1.0)))

    with Operation():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(ask,))
        thread.start()
        thread.join()
    assert found == [(None, 1.0)]


def test_operations_of_a_request_share_its_budget(clock: Clock) -> None:
    with request_with_a_budget():
        for expected in (1.0, 0.6, 0.2):
            with Operation():
                assert left(1.0) == pytest.approx(expected)
                clock.wait(0.4)
            clock.wait(60)  # the view's own time does not count
        with Operation():
            assert left(1.0) == pytest.approx(-0.2)


def test_operations_of_a_request_that_overlap_count_once(clock: Clock) -> None:
    with request_with_a_budget():
        one, other = contextvars.copy_context(), contextvars.copy_context()
        first, second = Operation(), Operation()
        one.run(first.__enter__)
        clock.wait(0.2)
        other.run(second.__enter__)
        clock.wait(0.1)
        one.run(first.__exit__)
        other.run(second.__exit__)
        with Operation():
            assert left(1.0) == pytest.approx(0.7)


def test_budget_inside_another_changes_nothing(clock: Clock) -> None:
    with request_with_a_budget():
        with request_with_a_budget(), Operation():
            clock.wait(0.4)
        with Operation():
            assert left(1.0) == pytest.approx(0.6)


def test_budget_ends_with_its_block(clock: Clock) -> None:
    def request() -> None:
        with request_with_a_budget(), Operation():
            clock.wait(0.9)
            raise KeyError

    with pytest.raises(KeyError):
        request()
    with Operation():
        assert left(1.0) == pytest.approx(1.0)


def test_what_outlives_its_request_has_a_budget_of_its_own(clock: Clock) -> None:
    with request_with_a_budget():
        with Operation():
            clock.wait(0.9)
        context = contextvars.copy_context()

    def later() -> float:
        with Operation():
            return left(1.0)

    assert context.run(later) == pytest.approx(1.0)


# In an event loop.


def test_task_of_a_view_has_a_budget_of_its_own(clock: Clock) -> None:
    async def task() -> float:
        with Operation():
            return left(1.0)

    async def request() -> None:
        with request_with_a_budget():
            with Operation():
                clock.wait(TICK / 2)
            assert await asyncio.create_task(task()) == pytest.approx(1.0)
            with Operation():
                assert left(1.0) == pytest.approx(1.0 - TICK / 2)

    asyncio.run(request())


@pytest.mark.parametrize(
    ("task", "asks", "belongs"),
    [
        ("request's", "request's", True),
        ("request's", None, True),
        (None, "view's", True),
        ("request's", "view's", False),
    ],
)
def test_budget_is_of_its_task_and_the_threads_of_its_request(
    task: str | None, asks: str | None, belongs: bool
) -> None:
    budget = Budget(task)
    assert budget.is_of(asks) is belongs
    budget.close()
    assert not budget.is_of(asks)


def test_task_of_a_view_may_open_a_budget_of_its_own() -> None:
    async def task() -> bool:
        budget = request_budget()
        if budget is not None:
            budget.close()
        return budget is not None

    async def request() -> None:
        with request_with_a_budget():
            assert not await task()
            assert await asyncio.create_task(task())

    asyncio.run(request())


def test_operation_leaves_the_clock_of_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    users = 0

    class Watched(LoopClock):
        def start(self) -> float:
            nonlocal users
            users += 1
            return super().start()

        def stop(self) -> None:
            nonlocal users
            users -= 1
            super().stop()

    async def request() -> None:
        with Operation(), Operation():
            assert users == 1
        assert users == 0

    monkeypatch.setattr(loop_time, "LoopClock", Watched)
    asyncio.run(request())


def test_operation_in_a_loop_counts_what_it_waits(clock: Clock) -> None:
    async def request() -> float:
        with Operation():
            clock.wait(TICK / 2)
            return left(1.0)

    assert asyncio.run(request()) == pytest.approx(1.0 - TICK / 2)


def test_lateness_of_a_loop_is_no_waiting(clock: Clock) -> None:
    async def request() -> float:
        with Operation():
            await asyncio.sleep(0)
            clock.wait(0.5)  # as in a call that blocks the loop
            return left(1.0)

    assert asyncio.run(request()) == pytest.approx(1.0 - TICK)


def test_lateness_of_a_loop_is_no_waiting_also_after_it(clock: Clock) -> None:
    async def request() -> float:
        with Operation():
            for _ in range(3):
                clock.wait(0.2)
                await asyncio.sleep(2 * TICK)  # in which the loop sees how late it is
            return left(1.0)

    assert asyncio.run(request()) >= 1.0 - 9 * TICK


def test_loop_clock_stops_ticking_when_nobody_uses_it() -> None:
    async def use() -> None:
        clock = LoopClock()
        started = clock.start()
        assert clock.start() >= started
        clock.stop()
        clock.stop()
        async with asyncio.timeout(5):
            while clock._ticking:  # noqa: ASYNC110 - the clock tells nobody
                await asyncio.sleep(TICK)
        assert clock.start() >= started
        clock.stop()

    asyncio.run(use())


def test_operation_that_is_driven_in_a_loop_counts_by_its_thread(clock: Clock) -> None:
    async def body() -> float:
        with Operation():
            clock.wait(0.25)
            return left(1.0)

    assert run_sync(body()) == pytest.approx(0.75)


# What a thread may wait.


def test_allowance_counts_what_a_thread_waits(clock: Clock) -> None:
    allowance = Allowance(0.5)
    clock.wait(0.2)
    assert allowance.left() == pytest.approx(0.3)
    clock.wait(0.4)
    assert allowance.left() == 0.0


def test_allowance_is_moved_once_by_as_much_as_its_thread_was_late(clock: Clock) -> None:
    allowance = Allowance(0.5)
    clock.wait(0.4)
    allowance.go_on()
    assert allowance.left() == pytest.approx(0.1)
    clock.wait(0.4)  # 0.3 too late, while a hub was busy
    allowance.go_on()
    assert allowance.left() == pytest.approx(0.3)
    clock.wait(0.3)
    with pytest.raises(TimeoutError):
        allowance.go_on()


def test_allowance_leaves_a_look_at_what_is_there_already(clock: Clock) -> None:
    allowance = Allowance(0.5)
    clock.wait(0.5)
    allowance.go_on()
    assert allowance.left() == pytest.approx(0.001)
