"""Time in an event loop that may be late: what the loop itself takes is no server's silence.

See decisions.md, D25.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from .runtime import ALWAYS, Kept, monotonic

T = TypeVar("T")

TICK: Final = 0.02
"""Seconds between two looks at how late an event loop is."""


class LoopClock:
    """Seconds that stand still while the event loop is late; it ticks while somebody uses it."""

    def __init__(self) -> None:
        self._due = 0.0
        self._late = 0.0
        self._users = 0
        self._ticking = False

    def start(self) -> float:
        """Begin to use the clock, in its loop; return its time."""
        self._users += 1
        if not self._ticking:
            self._ticking = True
            self._wind()
        return self.time()

    def stop(self) -> None:
        """End what start() began."""
        self._users -= 1

    def time(self) -> float:
        # A tick that is overdue: the loop has been busy since.
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
    """The end of waiting for a server, at a time of the loop's clock: calls ``expire`` then, unless cancelled.

    Event-loop lag does not count as server silence: the end comes as much later as the loop was late for it, and at
    least a turn, in which it can take an answer that lies in the socket (decisions.md, D25).
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
    """Return what awaitable returns, for at most so many seconds (TimeoutError, see Limit)."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        limit = Limit(loop, loop.time() + seconds, lambda: timeout.reschedule(0))
        try:
            return await awaitable
        finally:
            limit.cancel()
