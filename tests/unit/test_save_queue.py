"""Saves that lost a race for a record queue up, and wait for nobody for ever."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import types
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any

import pytest

from django_multisession.bridge import pause, run_sync
from django_multisession.sessions.save_queue import contended, exclusive, queues

PLACE = "ab" * 20
WAIT = 0.05  # seconds

Together = Callable[..., None]


def on_threads(*bodies: Callable[[], Coroutine[Any, Any, None]]) -> None:
    threads = [threading.Thread(target=lambda body=body: run_sync(body())) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def as_tasks(*bodies: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def gather() -> None:
        await asyncio.gather(*(body() for body in bodies))

    asyncio.run(gather())


@pytest.fixture(params=[on_threads, as_tasks])
def together(request: pytest.FixtureRequest) -> Together:
    chosen: Together = request.param
    return chosen


def test_turns_come_one_after_another(together: Together) -> None:
    here: list[int] = []

    async def visit() -> None:
        async with exclusive(PLACE, 10):
            here.append(1)
            assert len(here) == 1
            await pause(0)
            here.pop()

    together(*[visit] * 5)
    assert not contended(PLACE)


def test_turn_inside_of_a_turn_does_not_wait_for_itself(together: Together) -> None:
    waited: list[float] = []

    async def visit() -> None:
        async with exclusive(PLACE, 10):
            started = time.monotonic()
            assert not contended(PLACE)
            async with exclusive(PLACE, 10):
                waited.append(time.monotonic() - started)

    together(visit)
    assert waited[0] < 10  # it would be ten
    assert not contended(PLACE)


def test_turns_at_other_places_are_independent(together: Together) -> None:
    met = 0

    async def visit(storage_key: str) -> None:
        nonlocal met
        async with exclusive(storage_key, 10):
            met += 1
            deadline = time.monotonic() + 10
            while met < 2 and time.monotonic() < deadline:
                await pause(0)

    together(lambda: visit("one"), lambda: visit("other"))
    assert met == 2


def test_turn_that_does_not_come_is_not_waited_for(together: Together) -> None:
    waited: list[float] = []

    async def stay() -> None:
        async with exclusive(PLACE, 10):
            while not waited:
                await pause(0)

    async def visit() -> None:
        while not contended(PLACE):
            await pause(0)
        started = time.monotonic()
        async with exclusive(PLACE, WAIT):
            waited.append(time.monotonic() - started)

    together(stay, visit)
    assert WAIT * 0.9 < waited[0] < 10  # which the other stays at most


def test_turn_ends_with_an_exception() -> None:
    async def fail() -> None:
        async with exclusive(PLACE, 10):
            raise LookupError

    with pytest.raises(LookupError):
        run_sync(fail())
    assert not contended(PLACE)


def test_turn_of_a_coroutine_that_is_closed_in_another_context_ends() -> None:
    @types.coroutine
    def suspend() -> Iterator[None]:
        yield

    async def stay() -> None:
        async with exclusive(PLACE, 10):
            await suspend()

    body = stay()
    Context().run(body.send, None)
    lock = queues.value.threads[PLACE]
    assert lock.locked()
    body.close()
    assert not lock.locked()


def test_forked_child_waits_for_no_thread_of_its_parent() -> None:
    async def scenario() -> None:
        async with exclusive(PLACE, 10):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of other tests' threads
                child = os.fork()
            if not child:
                os._exit(Context().run(contended, PLACE))
            assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - driven without a loop

    run_sync(scenario())
