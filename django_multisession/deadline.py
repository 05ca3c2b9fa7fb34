"""How long a request may wait for its stores: one budget for all that it asks, counted in waiting alone.

A request opens a budget (request_budget()), and each operation of a session counts what it waits against it
(operation()): for servers, for connections, for the turn of a save, for pauses. Where there is no budget, an
operation has one of its own; so has what a view starts in a task of its own, and what outlives its request, or it
would fail for good once the time was used up (decisions.md, D7).

Only waiting counts. While a thread runs, or an event loop or a gevent hub is busy with something else, no server is
silent: the clocks here stand still then.
"""

import asyncio
import time
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final
from weakref import WeakKeyDictionary

from .bridge import native_loop
from .runtime import ALWAYS, Kept, monotonic

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


class ThreadClock:
    """Seconds that stand still while this thread runs: what is left is waiting, in a hub's greenlet too."""

    def start(self) -> float:
        return self.time()

    def stop(self) -> None:
        pass

    def time(self) -> float:
        return monotonic() - time.thread_time()


_thread_clock: Final = ThreadClock()
_loop_clocks: Kept[WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClock]] = Kept(WeakKeyDictionary, ALWAYS)


def _clock() -> LoopClock | ThreadClock:
    loop = native_loop()
    if loop is None:
        return _thread_clock
    found = _loop_clocks.value.get(loop)
    if found is None:
        found = _loop_clocks.value[loop] = LoopClock()
    return found


class Budget:
    """What the operations of one request have waited; operations that overlap count once."""

    __slots__ = ("_task", "_token", "is_closed", "spent")

    _token: "Token[Budget | None]"

    def __init__(self) -> None:
        self.spent = 0.0
        self.is_closed = False
        self._task = _current_task()

    def is_mine(self) -> bool:
        """Tell whether the caller still belongs to the request: not a task that a view has started."""
        if self.is_closed:
            return False
        task = _current_task()
        return task is None or self._task is None or task is self._task

    def open(self) -> None:
        """Let all operations from now on, in this context, share this budget."""
        self._token = _request.set(self)

    def close(self) -> None:
        """End what open() began: what outlives the request has a budget of its own."""
        self.is_closed = True
        _request.reset(self._token)


def _current_task() -> object:
    loop = native_loop()
    return None if loop is None else asyncio.current_task(loop)


_request: ContextVar[Budget | None] = ContextVar("multisession_budget", default=None)


class Operation:
    """One operation of a session, as a context manager; operations inside of it are parts of it.

    ``has_lost`` tells whether it has asked once more already after a connection was lost: once is enough.
    """

    __slots__ = ("_before", "_budget", "_clock", "_outer", "_since", "has_lost")

    def __enter__(self) -> "Operation":
        outer = self._outer = _operation.get()
        if outer is not None and outer._is_mine():
            return outer
        self.has_lost = False
        budget = _request.get()
        self._budget = budget if budget is not None and budget.is_mine() else Budget()
        self._before = self._budget.spent
        self._clock = _clock()
        self._since = self._clock.start()
        _operation.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if _operation.get() is not self:
            return  # a part of another one
        _operation.set(self._outer)
        self._budget.spent = max(self._budget.spent, self._before + self._clock.time() - self._since)
        self._clock.stop()

    def _is_mine(self) -> bool:
        return self._budget.is_mine() and self._clock is _clock()

    def left(self, total: float) -> float:
        """Return how many of ``total`` seconds the operation may still wait; 0 or less: none."""
        return total - self._before - (self._clock.time() - self._since)


_operation: ContextVar[Operation | None] = ContextVar("multisession_operation", default=None)


def current_operation() -> Operation | None:
    """Return the operation that the caller is a part of, None outside of any."""
    operation = _operation.get()
    return operation if operation is not None and operation._is_mine() else None


def left(total: float) -> float:
    """Return how many of ``total`` seconds the caller may still wait: all of them outside of an operation."""
    operation = current_operation()
    return total if operation is None else operation.left(total)


def request_budget() -> Budget | None:
    """Open a budget for a request, to be closed at its end; None inside of another one, which nothing changes then.

    The middleware opens one a request. A WebSocket that lives for hours opens none of its own, so that its operations
    do not add up.
    """
    outer = _request.get()
    if outer is not None and outer.is_mine():
        return None
    budget = Budget()
    budget.open()
    return budget
