"""How many may ask a server at the same time: tasks of an event loop, threads of the process.

Waited for outside of Store.call(): a crowd is no matter of the server (decisions.md, D16).
"""

import asyncio
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..deadline import Allowance
from ..exceptions import QueueFull
from ..loop_time import Limit
from ..runtime import Event, Kept, on

_limits: Kept["weakref.WeakSet[ThreadLimit]"] = Kept(weakref.WeakSet, Event(0))


@on(Event.FORK)
def _leave_to_the_parent() -> None:
    for limit in list(_limits.value):
        limit.forget()


class _Slots(ABC):
    """So many may ask at a time."""

    @abstractmethod
    async def acquire(self, seconds: float) -> None:
        """Take a slot, waiting for it so many seconds at most; QueueFull after that."""

    @abstractmethod
    def release(self) -> None:
        """Give back what acquire() has taken, to whoever has waited the longest."""

    @asynccontextmanager
    async def slot(self, seconds: float) -> AsyncIterator[None]:
        """Take a slot for the block; see acquire()."""
        await self.acquire(seconds)
        try:
            yield
        finally:
            self.release()


class ConcurrencyLimit(_Slots):
    """At most ``limit`` tasks of an event loop at a time; ``name`` is the store's."""

    def __init__(self, limit: int, name: str) -> None:
        self._name = name
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, seconds: float) -> None:
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)

        def expire() -> None:
            if not waiter.done():
                waiter.set_exception(TimeoutError)

        # Less than half as dear as a semaphore in asyncio.timeout(), which makes two timers a wait.
        limit = Limit(loop, loop.time() + seconds, expire)
        try:
            await waiter
        except TimeoutError as error:
            raise QueueFull(self._name, "all of the event loop's connections are in use") from error
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:  # the slot came together with the cancellation
                self.release()
            raise
        finally:
            limit.cancel()

    def release(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class ThreadLimit(_Slots):
    """At most ``limit`` threads of the process at a time; see ConcurrencyLimit."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        _limits.value.add(self)
        self.forget()

    async def acquire(self, seconds: float) -> None:
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
        """Tell whether a waiter has left the queue; False if its slot came in the last moment."""
        with self._lock:
            if waiter.is_set():
                return False
            self._waiting.remove(waiter)
            return True

    def release(self) -> None:
        # Of a semaphore, somebody who comes just then may take it.
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def forget(self) -> None:
        self._lock = threading.Lock()  # threads of the parent may have held it, and slots
        self._free = self._limit
        self._waiting: deque[threading.Event] = deque()
