"""Limits: who has a slot, who waits for one, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from django_multisession.bridge import run_sync
from django_multisession.exceptions import QueueFull
from django_multisession.stores.limits import ConcurrencyLimit, ThreadLimit

PATIENCE = 10.0


# Of tasks.


async def waiting(limit: ConcurrencyLimit, seconds: float = PATIENCE) -> asyncio.Task[None]:
    """Return a task that waits for a slot."""
    task = asyncio.ensure_future(limit.acquire(seconds))
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_slots_go_to_whoever_has_waited_the_longest() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        first, second = await waiting(limit), await waiting(limit)
        limit.release()
        await first
        assert not second.done()
        limit.release()
        await second
        limit.release()
        await limit.acquire(0)  # free again, and nobody waits

    asyncio.run(scenario())


def test_wait_in_vain_is_unavailable_and_takes_no_slot() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        with pytest.raises(QueueFull, match="here"):
            await limit.acquire(0.001)
        limit.release()
        await limit.acquire(0)

    asyncio.run(scenario())


def test_task_cancelled_while_it_waits_takes_no_slot() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        task, next_one = await waiting(limit), await waiting(limit)
        task.cancel()
        limit.release()
        await next_one
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_slot_that_comes_with_a_cancellation_goes_on_to_the_next() -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1, "here")
        await limit.acquire(PATIENCE)
        task, next_one = await waiting(limit), await waiting(limit)
        limit.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await next_one

    asyncio.run(scenario())


# Of threads.


async def in_slot(limit: ThreadLimit, body: Callable[[], object], seconds: float = PATIENCE) -> None:
    await limit.acquire(seconds)
    try:
        body()
    finally:
        limit.release()


def test_threads_are_served_in_the_order_of_their_coming() -> None:
    limit = ThreadLimit(1, "here")
    served: list[int] = []

    def start(number: int) -> threading.Thread:
        waiting = len(limit._waiting)
        thread = threading.Thread(target=lambda: run_sync(in_slot(limit, lambda: served.append(number))))
        thread.start()
        while len(limit._waiting) == waiting:
            pass
        return thread

    threads: list[threading.Thread] = []
    run_sync(in_slot(limit, lambda: threads.extend(start(number) for number in range(5))))
    for thread in threads:
        thread.join(PATIENCE)
    assert served == list(range(5))


def test_thread_that_waits_in_vain_is_unavailable_and_takes_no_slot() -> None:
    limit = ThreadLimit(1, "here")

    def wait() -> None:
        with pytest.raises(QueueFull, match="here"):
            run_sync(in_slot(limit, lambda: None, 0.001))

    run_sync(in_slot(limit, wait))
    run_sync(in_slot(limit, lambda: None, 0))


def test_thread_that_is_interrupted_takes_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = ThreadLimit(1, "here")

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    def wait() -> None:
        monkeypatch.setattr(threading, "Event", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_sync(in_slot(limit, lambda: None))

    run_sync(in_slot(limit, wait))
    run_sync(in_slot(limit, lambda: None, 0))
