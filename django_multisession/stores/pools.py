"""Who may use which client, and when it ends: free lists for threads, one client a loop for asyncio.

Both are empty until first use, and empty again in a forked child.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

from ..bridge import maybe_await, run_sync
from ..exceptions import StoreUnavailable

C = TypeVar("C")
T = TypeVar("T")

# Clients of the parent process. A forked child keeps them, unused: closing one could end the parent's connection.
_inherited: list[Any] = []
_instances: "weakref.WeakSet[FreeList[Any] | PerProcess[Any] | LoopLocal[Any]]" = weakref.WeakSet()


def _forget_after_fork() -> None:
    for instance in _instances:
        instance.forget()


os.register_at_fork(after_in_child=_forget_after_fork)


class FreeList(Generic[C]):
    """Synchronous clients that no thread is using just now; the one used last is lent first.

    Against one client a thread: no more connections than calls at the same time, and threads that live for one
    request (runserver, async_to_sync) find a client that is connected already.
    """

    def __init__(self, connect: Callable[[], C], close: Callable[[C], object]) -> None:
        self._connect = connect
        self._close = close
        self._free: list[C] = []
        _instances.add(self)

    def call(self, command: Callable[..., T], *arguments: Any) -> T:
        """Return command(client, *arguments); after an exception that client and all idle ones are closed.

        All, because what broke one connection (a server that restarted) has mostly broken the others as well.
        """
        client = self.take()
        try:
            result = command(client, *arguments)
        except BaseException:
            self.discard(client)
            raise
        self._free.append(client)
        return result

    def take(self) -> C:
        """Lend a client, to be given back or discarded; see call()."""
        try:
            return self._free.pop()
        except IndexError:
            return self._connect()

    def give_back(self, client: C) -> None:
        self._free.append(client)

    def discard(self, client: C) -> None:
        """Close a client that may have half an answer in its socket, and all idle ones."""
        self._close(client)
        self.close()

    def close(self) -> None:
        """Close the idle clients."""
        while self._free:
            try:
                client = self._free.pop()
            except IndexError:  # another thread was faster
                return
            self._close(client)

    def forget(self) -> None:
        _inherited.extend(self._free)
        self._free = []


class ConcurrencyLimit:
    """At most ``limit`` tasks of an event loop at a time; ``name`` is the store's.

    Outside of a guard: waiting for one another is no matter of the server.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._name = name
        self._slots = asyncio.Semaphore(limit)

    async def take(self, seconds: float) -> None:
        """Wait for a slot, so many seconds at most; StoreUnavailable after that."""
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(self._name, "all of the event loop's connections are in use") from error

    def give_back(self) -> None:
        self._slots.release()


class AsyncFreeList(Generic[C]):
    """Asynchronous clients of one event loop that no task is using; at most ``limit`` in all."""

    def __init__(
        self,
        connect: Callable[[], C | Awaitable[C]],
        close: Callable[[C], Awaitable[object]],
        limit: int,
        name: str,
    ) -> None:
        self._connect = connect
        self._close = close
        self._slots = ConcurrencyLimit(limit, name)
        self._free: list[C] = []

    def lease(self, seconds: float) -> "AsyncLease[C]":
        """``async with free_list.lease(seconds) as client:``; waits while all are in use, see ConcurrencyLimit.take().

        After an exception the client is closed, and all idle ones, as in FreeList.call(). A task
        that was cancelled closes its own alone: nothing is known to be wrong with the others.
        """
        return AsyncLease(self, seconds)

    async def take(self, seconds: float) -> C:
        await self._slots.take(seconds)
        try:
            return self._free.pop() if self._free else await maybe_await(self._connect())
        except BaseException:
            self._slots.give_back()
            raise

    def give_back(self, client: C) -> None:
        self._free.append(client)
        self._slots.give_back()

    async def discard(self, client: C, error: BaseException) -> None:
        """Close a client that may have half an answer in its socket, and all idle ones."""
        try:
            await self._close(client)
            if isinstance(error, Exception):
                await self.close()
        finally:
            self._slots.give_back()

    async def close(self) -> None:
        """Close the idle clients."""
        while self._free:
            await self._close(self._free.pop())


class AsyncLease(Generic[C]):
    """A client of an asynchronous free list, for the length of an async with block."""

    __slots__ = ("_client", "_free_list", "_seconds")

    def __init__(self, free_list: AsyncFreeList[C], seconds: float) -> None:
        self._free_list = free_list
        self._seconds = seconds

    async def __aenter__(self) -> C:
        self._client = await self._free_list.take(self._seconds)
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or (isinstance(error, StoreUnavailable) and error.__cause__ is None):
            self._free_list.give_back(self._client)  # unharmed: the call was made, or refused before it was
        else:
            await self._free_list.discard(self._client, error)


class PerProcess(Generic[C]):
    """One client that all threads share, for a library that keeps a pool of its own (PyMongo).

    It is closed with the last reference to this, at the latest when the interpreter ends. ``close`` must hold
    no reference to this.
    """

    def __init__(self, connect: Callable[[], C], close: Callable[[C], object]) -> None:
        self._connect = connect
        self._close = close
        self._lock = threading.Lock()
        self._clients: list[C] = []  # one at most
        weakref.finalize(self, _close_all, self._clients, close)
        _instances.add(self)

    def get(self) -> C:
        """Return the client, making it (without I/O) the first time."""
        try:
            return self._clients[0]
        except IndexError:
            with self._lock:
                client = self._clients[0] if self._clients else self._connect()
                self._clients[:] = [client]
                return client

    def close(self) -> None:
        """Close the client, also where another thread is using it; the next get() makes a new one."""
        _close_all(self._clients, self._close)

    def forget(self) -> None:
        _inherited.extend(self._clients)
        self._clients.clear()
        self._lock = threading.Lock()  # another thread of the parent may have held it


def _close_all(clients: list[C], close: Callable[[C], object]) -> None:
    while clients:
        try:
            client = clients.pop()
        except IndexError:  # another thread was faster
            return
        close(client)


class LoopLocal(Generic[C]):
    """One asynchronous client for each event loop, closed when its loop shuts its generators down.

    asyncio.run() and asgiref do that before they close a loop. A dictionary with weak keys would leak every client:
    each holds its loop, and nothing would await its closing.
    """

    def __init__(self, connect: Callable[[], C], close: Callable[[C], Awaitable[object]]) -> None:
        self._connect = connect
        self._close = close
        self._clients: dict[asyncio.AbstractEventLoop, C] = {}
        self._closers: dict[asyncio.AbstractEventLoop, AsyncIterator[None]] = {}
        _instances.add(self)

    def get(self, loop: asyncio.AbstractEventLoop) -> C:
        """Return the client of the running loop, making it (without I/O) the first time."""
        try:
            return self._clients[loop]
        except KeyError:
            return self._open(loop)

    def _open(self, loop: asyncio.AbstractEventLoop) -> C:
        for closed in [other for other in list(self._clients) if other.is_closed()]:
            self._clients.pop(closed, None)
            self._closers.pop(closed, None)
        client = self._clients[loop] = self._connect()
        closer = self._closers[loop] = self._closing(loop, client)
        # The first step registers the generator with its loop and reaches the yield without suspending.
        run_sync(closer.__anext__())  # type: ignore[arg-type]  # has send(), which is all that run_sync() needs
        return client

    async def _closing(self, loop: asyncio.AbstractEventLoop, client: C) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._clients.pop(loop, None)
            self._closers.pop(loop, None)
            await self._close(client)

    def forget(self) -> None:
        _inherited.extend(self._clients.values())
        _inherited.extend(self._closers.values())
        self._clients = {}
        self._closers = {}
