"""How long a request may wait for its stores: one time budget for all of its operations.

A request opens a budget (request_budget()), and each Operation of a session counts its waiting against it: for
servers, for connections, for its turn to save, and in pauses. An operation outside of a request has a budget of its
own. So has one in a task that a view has started, and one that outlives its request: with the request's budget, each of
their operations would fail once that was used up (decisions.md, D7).

Only waiting counts: ThreadClock stands still while its thread runs, loop_time.LoopClock while its event loop is late.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from .bridge import here, native_loop, running_loop, suspended
from .loop_time import clock_of
from .runtime import monotonic

P = ParamSpec("P")
T = TypeVar("T")
OwnerT = TypeVar("OwnerT", bound="OperationOwner")

PRECISION: Final = 0.005  # decisions.md, D54
"""Seconds for which a thread's running time is reused: asking for it is a system call, dearer than sealing a record."""
_ONE_LOOK: Final = 0.001
"""Seconds of an extension, at least: enough to read an answer that has already arrived."""


class ThreadClock(threading.local):
    """A clock that stands still while its thread runs, so that only waiting is counted, also under gevent.

    Accurate to PRECISION.
    """

    _asked = -PRECISION, 0.0  # one attribute: those of a thread are dear
    """When the thread was asked how long it has run, and what it said."""

    def stop(self) -> None:
        pass

    def time(self) -> float:
        now = monotonic()
        asked_at, ran = self._asked
        if not 0 <= now - asked_at < PRECISION:
            ran = time.thread_time()
            self._asked = now, ran
        return now - ran

    start = time


thread_clock: Final = ThreadClock()
"""The clock of each thread."""


class Allowance:
    """The seconds that a thread may wait, possibly in several waits.

    A gevent hub may be busy with another greenlet, or the thread may get no processor; neither is a server's silence.
    So a thread that is late for the end finds it postponed, once, by as much as it was late.
    """

    __slots__ = ("_ends_at", "_is_extended")

    def __init__(self, seconds: float) -> None:
        self._ends_at = thread_clock.time() + seconds
        self._is_extended = False

    def left(self) -> float:
        """Return how many seconds the next wait may take; 0 if none are left."""
        return max(self._ends_at - thread_clock.time(), 0.0)

    def go_on(self) -> None:
        """Return if the caller may wait again, after a wait that brought nothing; raise TimeoutError if not."""
        now = thread_clock.time()
        late = now - self._ends_at
        if late < 0:
            return
        if self._is_extended:
            raise TimeoutError
        self._ends_at, self._is_extended = now + max(late, _ONE_LOOK), True


class Budget:
    """How many seconds the operations of a request have waited. Where two overlap, that time counts once."""

    __slots__ = ("_task", "_token", "is_closed", "spent")

    def __init__(self, task: object) -> None:
        self.spent = 0.0
        self.is_closed = False
        self._task = task
        self._token = _request.set(self)

    def is_of(self, task: object) -> bool:
        """Tell whether the budget is open, and a task (None: a thread) is the request's own, not one of a view."""
        return not self.is_closed and (task is None or self._task is None or task is self._task)

    def close(self) -> None:
        """Close the budget: an operation that outlives the request has one of its own."""
        self.is_closed = True
        _request.reset(self._token)


def _task_of(loop: asyncio.AbstractEventLoop | None) -> object:
    return None if loop is None else asyncio.current_task(loop)


_request: ContextVar[Budget | None] = ContextVar("multisession_budget", default=None)


class Operation:
    """One operation of a session, as a context manager; operations inside of it are parts of it.

    ``has_repeated`` tells whether it may not repeat a call once more: it repeats one only, after a lost connection or a
    silence that a probe disproved. With ``drives``, the block is driven on this thread: see bridge.py.
    """

    __slots__ = ("_before", "_budget", "_clock", "_drives", "_outer", "_place", "_since", "_task", "has_repeated")

    def __init__(self, *, drives: bool = False) -> None:
        self._drives = drives and not here.driven
        self.has_repeated = False

    def __enter__(self) -> "Operation":
        if self._drives:
            here.driven, here.blocks_a_loop = True, running_loop() is not None
        loop = None if self._drives else native_loop()
        self._place = loop or threading.get_ident()
        self._task = task = loop and _task_of(loop)
        outer = self._outer = _operation.get()
        if outer is not None and outer.is_of(loop, task):
            return outer
        budget = _request.get()
        self._budget = budget if budget is not None and budget.is_of(task) else None
        self._before = 0.0 if self._budget is None else self._budget.spent
        self._clock = thread_clock if loop is None else clock_of(loop)
        self._since = self._clock.start()
        _operation.set(self)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._drives:
            here.driven = here.blocks_a_loop = False
        if _operation.get() is not self:
            return  # a part of another one
        _operation.set(self._outer)
        if self._budget is not None:
            self._budget.spent = max(self._budget.spent, self._before + self._clock.time() - self._since)
        self._clock.stop()

    def is_of(self, loop: asyncio.AbstractEventLoop | None, task: object) -> bool:
        """Tell whether a task of a loop, or this thread (None and None), runs inside of this operation."""
        # The clock of another thread has run for another time.
        is_here = self._place == (loop or threading.get_ident())
        return is_here and (self._task is task if self._budget is None else self._budget.is_of(task))

    def left(self, total: float) -> float:
        """Return how many of ``total`` seconds the operation may still wait; 0 or less if none are left."""
        return total - self._before - (self._clock.time() - self._since)


_operation: ContextVar[Operation | None] = ContextVar("multisession_operation", default=None)


def current_operation() -> Operation | None:
    """Return the operation that the caller is part of, or None."""
    operation = _operation.get()
    if operation is None:
        return None
    if here.driven:
        return operation if operation.is_of(None, None) else None
    loop = native_loop()
    return operation if operation.is_of(loop, _task_of(loop)) else None


def left(total: float) -> float:
    """Return how many of ``total`` seconds the caller may still wait; all of them outside of an operation."""
    operation = current_operation()
    return total if operation is None else operation.left(total)


def request_budget() -> Budget | None:
    """Open a budget for a request, for the caller to close at its end; None inside of another one, which then holds.

    The middleware opens one for each request. A WebSocket, which may live for hours, opens none, so that the waiting of
    its operations does not add up.
    """
    task, outer = _task_of(native_loop()), _request.get()
    if outer is not None and outer.is_of(task):
        return None
    return Budget(task)


class OperationOwner(Protocol):
    """What has bodies that in_both_colours() makes public."""

    def failed(self, error: Exception) -> None:
        """Take note of what an operation raises."""
        ...


def as_operation(
    body: Callable[Concatenate[OwnerT, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[OwnerT, P], Coroutine[Any, Any, T]]:
    """Wrap a body so that each call of it, awaited or driven, is one operation."""

    async def operation(self: OwnerT, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with Operation():
            try:
                return await body(self, *args, **kwargs)
            except Exception as error:
                self.failed(error)
                raise

    update_wrapper(operation, body)
    return operation


def in_both_colours(
    body: Callable[Concatenate[OwnerT, P], Coroutine[Any, Any, T]],
) -> tuple[Callable[Concatenate[OwnerT, P], T], Callable[Concatenate[OwnerT, P], Coroutine[Any, Any, T]]]:
    """Return a synchronous and an asynchronous method for a body: ``save`` and ``asave`` for ``_save``.

    The first drives the body, the second awaits it; each call is one operation.
    """
    name = body.__name__.lstrip("_")

    def method(self: OwnerT, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with Operation(drives=True):
            driven = body(self, *args, **kwargs)
            try:
                driven.send(None)
                raise suspended(driven)
            except StopIteration as finished:
                value: T = finished.value
                return value
            except Exception as error:
                self.failed(error)
                raise

    amethod = as_operation(body)
    update_wrapper(method, body)
    method.__name__, amethod.__name__, amethod.__doc__ = name, f"a{name}", f"See {name}()."
    return method, amethod
