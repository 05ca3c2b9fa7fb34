"""Wait for a connection's socket, on a thread or in an event loop: the only part that the two colours do not share.

The protocol. Steps are a generator that talks to libpq, which never blocks here. When it has to wait for the socket, it
yields the socket's descriptor and READ, WRITE or both; it is resumed once the socket is ready, and returns its result
at the end. Steps that a driver has left unfinished can be resumed by another one.
"""

import asyncio
from collections.abc import Generator
from typing import TypeVar

from ...deadline import Allowance
from ..sockets import READ, WRITE, is_ready

T = TypeVar("T")
Steps = Generator[tuple[int, int], None, T]


def on_thread(steps: Steps[T], seconds: float) -> T:
    """Run the steps to their end, blocking this thread; TimeoutError if they wait longer in all (see Allowance)."""
    allowance = Allowance(seconds)
    try:
        while True:
            socket, events = next(steps)
            while not is_ready(socket, events, allowance.left()):
                allowance.go_on()
    except StopIteration as finished:
        result: T = finished.value
        return result


async def in_loop(steps: Steps[T]) -> T:
    """Run the steps to their end in the running event loop."""
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
