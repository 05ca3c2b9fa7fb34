"""Waiting for a connection's socket, on a thread or in an event loop: all that the two colours do not share.

The protocol. Steps are a generator that talks to libpq, which never blocks here. Where it can go no further before
the socket is ready it yields the socket's descriptor and READ, WRITE or both, is resumed when that is so, and at its
end returns a result. Steps that were left half-way can be taken up again by another driver.
"""

import asyncio
import math
import select
from collections.abc import Generator
from time import monotonic
from typing import Final, TypeVar

T = TypeVar("T")
Steps = Generator[tuple[int, int], None, T]

READ: Final = 1
WRITE: Final = 2

_ONE_LOOK: Final = 0.001


def on_thread(steps: Steps[T], seconds: float) -> T:
    """Take the steps to their end, blocking this thread; TimeoutError if they wait for longer in all.

    A thread or a gevent hub may be late. So whoever comes past the end gets as much time again as it was late by, and
    one more look at least: what the server has sent by then counts.
    """
    ends_at = monotonic() + seconds
    is_late = False
    try:
        while True:
            socket, events = next(steps)
            while (left := ends_at - monotonic()) <= 0 or not _is_ready(socket, events, left):
                if is_late:
                    raise TimeoutError("no answer in time")
                now = monotonic()
                ends_at, is_late = now + max(now - ends_at, _ONE_LOOK), True
    except StopIteration as finished:
        result: T = finished.value
        return result


async def in_loop(steps: Steps[T]) -> T:
    """Take the steps to their end in the running event loop."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            socket, events = next(steps)
        except StopIteration as finished:
            result: T = finished.value
            return result
        ready = loop.create_future()
        if events & READ:
            loop.add_reader(socket, _set, ready)
        if events & WRITE:
            loop.add_writer(socket, _set, ready)
        try:
            await ready
        finally:
            if events & READ:
                loop.remove_reader(socket)
            if events & WRITE:
                loop.remove_writer(socket)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


if hasattr(select, "poll"):

    def _is_ready(socket: int, events: int, seconds: float) -> bool:
        # Looked up at each call: gevent replaces it.
        poll = select.poll()
        poll.register(socket, (select.POLLIN if events & READ else 0) | (select.POLLOUT if events & WRITE else 0))
        return bool(poll.poll(math.ceil(seconds * 1000)))

else:

    def _is_ready(socket: int, events: int, seconds: float) -> bool:
        waited = [socket] if events & READ else [], [socket] if events & WRITE else []
        return any(select.select(*waited, [], seconds))
