"""How many tasks of an event loop, or threads of the process, may ask a server at the same time.

A store acquires its slot before Store.call(), since waiting for other callers is no evidence against the server
(decisions.md, D16).
"""

import asyncio
import threading
import weakref
from collections import deque

from ..deadline import Allowance
from ..exceptions import QueueFull
from ..loop_time import Limit
from ..runtime import Event, Kept, on

_limits: Kept["weakref.WeakSet[ThreadLimit]"] = Kept(weakref.WeakSet, Event(0))


@on(Event.FORK)
def _leave_to_the_parent() -> None:
    for limit in list(_limits.value):
        limit.forget()


class ConcurrencyLimit:
    """At most ``limit`` tasks of an event loop at a time; ``name`` is the store's, for errors."""

    def __init__(self, limit: int, name: str) -> None:
        self._name = name
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, seconds: float) -> None:
        """Take a slot, waiting at most so many seconds for it; QueueFull after that."""
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)

        def expire() -> None:
            if not waiter.done():
                waiter.set_exception(TimeoutError)

        # Takes less than half the time of a semaphore in asyncio.timeout(), which makes two timers for each wait.
        limit = Limit(loop, loop.time() + seconds, expire)
        try:
            await waiter
        except TimeoutError as error:
            raise QueueFull(self._name, "all of the event loop's connections are in use") from error
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:  # the slot came at the moment of the cancellation
                self.release()
            raise
        finally:
            limit.cancel()

    def release(self) -> None:
        """Give a slot back: to the task that has waited longest, if any does."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class ThreadLimit:
    """At most ``limit`` threads of the process at a time; ``name`` is the store's, for errors."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        _limits.value.add(self)
        self.forget()

    async def acquire(self, seconds: float) -> None:
        """See ConcurrencyLimit.acquire()."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            waiter = threading.Event()
            self._waiting.append(waiter)
        allowance = Allowance(seconds)
        try:
            while not waiter.wait(allowance.left()):
                allowance.go_on()
        except TimeoutError as error:
            if self._gives_up(waiter):
                raise QueueFull(self._name, "all of the process' connections are in use") from error
        except BaseException:  # Ctrl-C, or a greenlet that is killed
            if not self._gives_up(waiter):
                self.release()
            raise

    def _gives_up(self, waiter: threading.Event) -> bool:
        """Take a waiter out of the queue; return False if it was given its slot at the last moment."""
        with self._lock:
            if waiter.is_set():
                return False
            self._waiting.remove(waiter)
            return True

    def release(self) -> None:
        """Give a slot back: to the thread that has waited longest, if any does."""
        # Unlike a semaphore's, which a thread that comes just then may take.
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def forget(self) -> None:
        """Free all slots: in a forked child, threads of the parent may have held them, and the lock."""
        self._lock = threading.Lock()
        self._free = self._limit
        self._waiting: deque[threading.Event] = deque()
