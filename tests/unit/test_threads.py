"""Threads of an event loop's own: how many, whose, and until when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.threads import Threads

PATIENCE = 10.0


class Busy:
    """Functions that keep their threads until released."""

    def __init__(self) -> None:
        self.at_once = self.most = 0
        self._lock = threading.Lock()
        self._go_on = threading.Event()

    def __call__(self) -> str:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert self._go_on.wait(PATIENCE)
        with self._lock:
            self.at_once -= 1
        return threading.current_thread().name

    def release(self) -> None:
        self._go_on.set()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - threads make it true
            await asyncio.sleep(0)


async def in_slot(threads: Threads, function: Callable[[], object], seconds: float = PATIENCE) -> object:
    async with threads.slot(seconds) as slot:
        return await slot.run(function)


def test_threads_return_and_raise_what_the_function_does() -> None:
    async def scenario() -> None:
        threads = Threads(2, "here")
        assert await threads.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 7, 0)
        await threads.aclose()

    asyncio.run(scenario())


def test_threads_are_made_when_needed_and_used_again() -> None:
    before = threading.active_count()

    async def scenario() -> None:
        threads = Threads(4, "here")
        for _ in range(5):
            assert await in_slot(threads, threading.get_ident) != threading.get_ident()
        assert threading.active_count() == before + 1
        await threads.aclose()
        assert threading.active_count() == before

    asyncio.run(scenario())


def test_threads_are_no_more_than_their_limit() -> None:
    async def scenario() -> None:
        threads, busy = Threads(3, "here"), Busy()
        tasks = [asyncio.ensure_future(in_slot(threads, busy)) for _ in range(9)]
        await until(lambda: busy.at_once == 3)
        busy.release()
        await asyncio.gather(*tasks)
        assert busy.most == 3
        await threads.aclose()

    asyncio.run(scenario())


def test_a_slot_that_is_waited_for_in_vain_is_unavailable() -> None:
    async def scenario() -> None:
        threads, busy = Threads(1, "here"), Busy()
        task = asyncio.ensure_future(in_slot(threads, busy))
        await until(lambda: busy.at_once)
        with pytest.raises(StoreUnavailable, match="here"):
            await in_slot(threads, busy, 0.001)
        busy.release()
        await task
        await in_slot(threads, busy)
        await threads.aclose()

    asyncio.run(scenario())


def test_a_cancelled_task_leaves_its_slot_when_its_thread_is_done() -> None:
    async def scenario() -> None:
        threads, busy = Threads(1, "here"), Busy()
        task = asyncio.ensure_future(in_slot(threads, busy))
        await until(lambda: busy.at_once)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waiting = asyncio.ensure_future(in_slot(threads, busy))
        await asyncio.sleep(0)
        assert busy.most == 1
        assert not waiting.done()
        busy.release()
        await waiting
        assert busy.most == 1
        await threads.aclose()

    asyncio.run(scenario())


def test_a_probe_has_a_thread_though_all_slots_are_taken() -> None:
    async def scenario() -> None:
        threads, busy = Threads(2, "here"), Busy()
        tasks = [asyncio.ensure_future(in_slot(threads, busy)) for _ in range(2)]
        await until(lambda: busy.at_once == 2)
        assert await threads.run(int, "7") == 7
        busy.release()
        await asyncio.gather(*tasks)
        await threads.aclose()

    asyncio.run(scenario())


def test_closing_waits_for_threads_that_are_busy() -> None:
    before = threading.active_count()

    async def scenario() -> None:
        threads, busy = Threads(2, "here"), Busy()
        task = asyncio.ensure_future(in_slot(threads, busy))
        await until(lambda: busy.at_once)
        closing = asyncio.ensure_future(threads.aclose())
        await asyncio.sleep(0)
        assert not closing.done()
        busy.release()
        await closing
        await task

    asyncio.run(scenario())
    assert threading.active_count() == before
