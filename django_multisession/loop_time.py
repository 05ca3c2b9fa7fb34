"""Clocks and time limits that do not count an event loop's own lag as a server's silence (decisions.md, D25)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from .runtime import ALWAYS, Kept, monotonic

T = TypeVar("T")

TICK: Final = 0.02
"""Seconds between two measurements of an event loop's lag."""


class LoopClock:
    """A clock that stands still while the event loop is late. It ticks only while somebody uses it."""

    def __init__(self) -> None:
        self._due = 0.0
        self._late = 0.0
        self._users = 0
        self._ticking = False

    def start(self) -> float:
        """Begin to use the clock, in its own loop; return its time in seconds."""
        self._users += 1
        if not self._ticking:
            self._ticking = True
            self._wind()
        return self.time()

    def stop(self) -> None:
        """End the use that start() began."""
        self._users -= 1

    def time(self) -> float:
        # While a tick is overdue the loop is late, and the clock stands still.
        return min(monotonic(), self._due) - self._late

    def _wind(self) -> None:
        self._due = monotonic() + TICK
        asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._late += max(monotonic() - self._due, 0.0)
        if self._users:
            self._wind()
        else:
            self._ticking = False


_clocks: Kept[WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClock]] = Kept(WeakKeyDictionary, ALWAYS)


def clock_of(loop: asyncio.AbstractEventLoop) -> LoopClock:
    """Return the clock of an event loop."""
    found = _clocks.value.get(loop)
    if found is None:
        found = _clocks.value[loop] = LoopClock()
    return found


class Limit:
    """A timer that ends the wait for a server: it calls ``expire`` at ``when``, in loop.time(), unless cancelled.

    Event-loop lag does not count as server silence. The timer fires later by as much as the loop was late for it, and
    by one turn at least, in which the loop can read an answer that has already arrived.
    """

    __slots__ = ("_expire", "_loop", "_timer", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float, expire: Callable[[], object]) -> None:
        self._loop = loop
        self._when = when
        self._expire = expire
        self._timer = loop.call_at(when, self._due)

    def _due(self) -> None:
        self._timer = self._loop.call_later(self._loop.time() - self._when, self._expire)

    def cancel(self) -> None:
        self._timer.cancel()


async def within(awaitable: Awaitable[T], seconds: float) -> T:
    """Await an awaitable for at most so many seconds; TimeoutError after that. See Limit."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        limit = Limit(loop, loop.time() + seconds, lambda: timeout.reschedule(0))
        try:
            return await awaitable
        finally:
            limit.cancel()
