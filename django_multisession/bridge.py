"""One ``async def`` body for both colours: awaited in an event loop, or driven to its end without one.

The protocol. Whatever does I/O is written once, as an ``async def`` body. A body awaits what a client returns through
maybe_await(), which passes a plain value on and awaits an awaitable. It takes the client that fits its caller:
native_loop() returns the event loop whose asynchronous client is to be used, or None for the synchronous one.

A body is driven in one of two ways. In an event loop it is awaited as any coroutine, and suspends where its
asynchronous client does. Without a loop, run_sync() sends it None once: with a synchronous client every value is there
already, so the body runs to its end and returns its result in StopIteration. A body that suspends under run_sync() has
awaited something that only a loop can finish; that is a bug of ours, and raises RuntimeError. iterate() drives
asynchronous iterators in the same way, step by step; deadline.in_both_colours() does it for an operation of a session,
which it opens at the same time.

driven() tells a body whether one of these drives it. A loop that async_to_sync made serves one call on a thread of its
own; there the synchronous client is used, as blocking it blocks nobody (decisions.md, D8).
"""

import asyncio
import threading
import time
from asyncio.events import _get_running_loop  # asyncio.get_running_loop() raises where there is none
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar, cast

from asgiref.sync import AsyncToSync

from .loop_time import within

T = TypeVar("T")

running_loop: Final = _get_running_loop
"""Returns the event loop that runs on this thread, None without one."""


class Here(threading.local):
    """What the current thread is doing."""

    driven = False
    """Whether run_sync(), iterate() or in_both_colours() drives the code that runs now."""
    blocks_a_loop = False
    """Whether it does so on the thread of a running event loop, which any I/O would block."""


here: Final = Here()
"""The current thread's. Read directly, without a function around it: each operation does so several times."""


async def maybe_await(value: T | Awaitable[T], seconds: float | None = None) -> T:
    """Return value, awaited if it is awaitable: for at most so many seconds, see within()."""
    if not hasattr(value, "__await__"):
        return value
    waiting = cast(Awaitable[T], value)
    return await waiting if seconds is None else await within(waiting, seconds)


def run_sync(body: Coroutine[Any, Any, T]) -> T:
    """Drive body to its end on this thread, without an event loop; RuntimeError if it suspends."""
    outer = here.driven
    if not outer:
        here.driven, here.blocks_a_loop = True, running_loop() is not None
    try:
        body.send(None)
    except StopIteration as finished:
        value: T = finished.value
        return value
    finally:
        if not outer:
            here.driven = here.blocks_a_loop = False
    raise suspended(body)


def suspended(body: Coroutine[Any, Any, object]) -> RuntimeError:
    """Close a driven body that has suspended; return the error to raise."""
    body.close()
    return RuntimeError("A body that is driven synchronously awaited something that was not ready.")


def foreign(method: Callable[..., T], *arguments: object) -> T:
    """Call a method that may be a project's own, as if outside of run_sync(): it may run an event loop of its own."""
    outer = here.driven, here.blocks_a_loop
    here.driven = here.blocks_a_loop = False
    try:
        return method(*arguments)
    finally:
        here.driven, here.blocks_a_loop = outer


def driven() -> bool:
    """Tell whether the caller is driven: by run_sync(), iterate() or in_both_colours()."""
    return here.driven


def native_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop whose asynchronous client the caller must use; None for the synchronous client.

    A loop that async_to_sync made lives for one call, on a thread of its own: blocking it blocks nobody, and
    an asynchronous client for it would cost milliseconds.
    """
    if here.driven:
        return None
    loop = running_loop()
    return None if loop in AsyncToSync.loop_thread_executors else loop


def iterate(source: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous iterator yields, driving each step as run_sync() does."""
    step = cast(Callable[[], Coroutine[Any, Any, T]], source.__anext__)
    while True:
        try:
            yield run_sync(step())
        except StopAsyncIteration:
            return


async def pause(seconds: float) -> None:
    """Sleep, without blocking an event loop that serves others."""
    if native_loop() is None:
        time.sleep(seconds)  # noqa: ASYNC251 - no event loop that serves anybody else is blocked
    else:
        await asyncio.sleep(seconds)
