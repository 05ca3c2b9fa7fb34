"""One body for both colours: driven on a thread, or awaited in an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_multisession import bridge
from django_multisession.bridge import driven, iterate, maybe_await, native_loop, pause, run_sync

Body = Coroutine[Any, Any, Any]


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def fails() -> None:
    raise LookupError("of the body")


# maybe_await()


@pytest.mark.parametrize("seconds", [None, 1.0])
@pytest.mark.parametrize("drive", [run_sync, asyncio.run])
def test_ready_passes_a_plain_value_through(drive: Callable[[Body], Any], seconds: float | None) -> None:
    assert drive(maybe_await(5, seconds)) == 5


@pytest.mark.parametrize("seconds", [None, 1.0])
def test_ready_awaits_an_awaitable(seconds: float | None) -> None:
    assert asyncio.run(maybe_await(later(5), seconds)) == 5


def test_ready_gives_up_after_its_seconds() -> None:
    async def body() -> None:
        never = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await maybe_await(never, 0.001)
        assert never.cancelled()

    asyncio.run(body())


# run_sync() and driven()


def test_run_returns_what_the_body_returns() -> None:
    async def body() -> str:
        return await maybe_await("value")

    assert run_sync(body()) == "value"


def test_run_raises_what_the_body_raises() -> None:
    with pytest.raises(LookupError, match="of the body"):
        run_sync(fails())
    assert not driven()


def test_run_of_a_body_that_suspends_closes_it_and_raises() -> None:
    closed = []

    async def body() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="not ready"):
        run_sync(body())
    assert closed == [True]
    assert not driven()


def test_driven_tells_who_is_under_run() -> None:
    async def inner() -> bool:
        return driven()

    async def outer() -> list[bool]:
        return [driven(), run_sync(inner()), driven()]

    assert run_sync(outer()) == [True, True, True]
    assert not driven()
    assert asyncio.run(inner()) is False


def test_driven_is_of_one_thread() -> None:
    seen = []

    async def body() -> None:
        thread = threading.Thread(target=lambda: seen.append(driven()))
        thread.start()
        thread.join()

    run_sync(body())
    assert seen == [False]


# native_loop()


def test_native_loop_is_the_running_one() -> None:
    async def body() -> bool:
        return native_loop() is asyncio.get_running_loop()

    assert asyncio.run(body())


def test_native_loop_is_none_without_one() -> None:
    assert native_loop() is None


def test_native_loop_is_none_under_run_inside_a_loop() -> None:
    async def inner() -> Any:
        return native_loop()

    async def outer() -> Any:
        return run_sync(inner())

    assert asyncio.run(outer()) is None


def test_native_loop_is_none_in_a_loop_of_async_to_sync() -> None:
    async def body() -> Any:
        asyncio.get_running_loop()
        return native_loop()

    assert async_to_sync(body)() is None


# iterate()


def test_iterate_yields_all_and_ends() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(3):
            yield await maybe_await(number)

    assert list(iterate(source())) == [0, 1, 2]


def test_iterate_raises_what_its_source_raises() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise LookupError

    numbers = iterate(source())
    assert next(numbers) == 1
    with pytest.raises(LookupError):
        next(numbers)


def test_iterate_left_early_ends_its_source() -> None:
    closed = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    numbers = iterate(source())
    assert next(numbers) == 1
    del numbers
    assert closed == [True]


# pause()


def test_pause_sleeps_on_its_thread_or_in_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[tuple[str, float]] = []

    async def sleep(seconds: float) -> None:
        slept.append(("loop", seconds))

    on_thread = SimpleNamespace(sleep=lambda seconds: slept.append(("thread", seconds)))
    monkeypatch.setattr(bridge, "time", on_thread)
    monkeypatch.setattr(bridge, "asyncio", SimpleNamespace(sleep=sleep))
    run_sync(pause(0.1))
    asyncio.run(pause(0.2))
    assert slept == [("thread", 0.1), ("loop", 0.2)]
