"""Pools of clients: one pool for all threads, and one for each event loop.

Pools are empty until first use, and empty again in a forked child.
"""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from ..bridge import maybe_await, native_loop, run_sync
from ..runtime import Event, Kept, monotonic, on

C = TypeVar("C")
T = TypeVar("T")

MAX_IDLE: Final = 240.0
"""Seconds after which an idle connection is not used again: firewalls and load balancers silently drop one after five
minutes or more."""

# Clients of the parent process. A forked child keeps them, unused: closing one could end the parent's connection.
_inherited: list[Any] = []
_instances: Kept["weakref.WeakSet[Pool[Any] | PerProcess[Any] | LoopLocal[Any]]"] = Kept(weakref.WeakSet, Event(0))


@on(Event.FORK)
def _leave_to_the_parent() -> None:
    for instance in list(_instances.value):
        instance.forget()
    _inherited.extend(_closers.values())
    _closers.clear()


class Pool(Generic[C]):
    """Idle clients; the one that was used last is lent first.

    Each client serves one thread at a time, or the tasks of one event loop; then ``connect`` and ``close`` may return
    awaitables. ``unharmed`` tells whether a client can still be used after an exception, since the server has answered.
    If it says so of asyncio.CancelledError, ``is_usable`` tells later whether the client is ready again.

    Compared with one client for each thread, there are no more connections than concurrent calls, and threads that live
    for one request (runserver, async_to_sync) find a client that is already connected (decisions.md, D9).
    """

    def __init__(
        self,
        connect: Callable[[], C | Awaitable[C]],
        close: Callable[[C], object],
        unharmed: Callable[[BaseException], bool] = lambda error: False,
        max_idle: float = MAX_IDLE,
        is_usable: Callable[[C], bool] | None = None,
    ) -> None:
        self._connect = connect
        self._close = close
        self._unharmed = unharmed
        self._is_usable = is_usable
        self._max_idle = max_idle
        self._free: list[tuple[C, float]] = []
        _instances.value.add(self)

    async def use(self, command: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``command(client, *arguments)``, awaited if it is awaitable.

        After an exception that has harmed it, the client is closed, and so are all idle ones: what broke one of them
        (a server's restart) has usually broken the others too. A cancelled task closes its own client only.
        """
        client = await self._take()
        try:
            result = command(client, *arguments)
            if hasattr(result, "__await__"):
                result = await result
        except BaseException as error:
            if self._unharmed(error):
                # After a cancellation it is lent last, so that the answer still under way can arrive.
                place = len(self._free) if isinstance(error, Exception) else 0
                self._free.insert(place, (client, monotonic()))
                raise
            await maybe_await(self._close(client))
            if isinstance(error, Exception):
                await self.aclose()
            raise
        self._free.append((client, monotonic()))
        return result

    async def _take(self) -> C:
        while True:
            try:
                client, since = self._free.pop()
            except IndexError:
                return await maybe_await(self._connect())
            is_fresh = monotonic() - since <= self._max_idle
            if is_fresh and (self._is_usable is None or self._is_usable(client)):
                return client
            await maybe_await(self._close(client))
            if not is_fresh:
                await self.aclose()  # the others have been idle even longer

    async def aclose(self) -> None:
        """Close the idle clients."""
        while self._free:
            try:
                client, _ = self._free.pop()
            except IndexError:  # another thread was faster
                return
            await maybe_await(self._close(client))

    def close(self) -> None:
        """Close the idle clients of threads."""
        run_sync(self.aclose())

    def close_at_exit(self) -> None:
        """Have the idle clients of threads closed once nothing refers to this pool, or when the interpreter ends.

        ``close`` must hold no reference to the pool.
        """
        weakref.finalize(self, _close_idle, self._free, self._close)

    def forget(self) -> None:
        _inherited.extend(self._free)
        self._free.clear()


class PerProcess(Generic[C]):
    """One client that all threads share, for a library that keeps a pool of its own (PyMongo).

    It is closed once nothing refers to this object, or when the interpreter ends. ``close`` must hold no reference to
    this object.
    """

    def __init__(self, connect: Callable[[], C], close: Callable[[C], object]) -> None:
        self._connect = connect
        self._close = close
        self._lock = threading.Lock()
        self._clients: list[C] = []  # one at most
        weakref.finalize(self, _close_all, self._clients, close)
        _instances.value.add(self)

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
        """Close the client, even while another thread uses it; the next get() makes a new one."""
        _close_all(self._clients, self._close)

    def forget(self) -> None:
        _inherited.extend(self._clients)
        self._clients.clear()
        self._lock = threading.Lock()  # another thread of the parent may have held it


def _close_idle(free: list[tuple[C, float]], close: Callable[[C], object]) -> None:
    _close_all([client for client, _ in free], close)
    free.clear()


def _close_all(clients: list[C], close: Callable[[C], object]) -> None:
    while clients:
        try:
            client = clients.pop()
        except IndexError:  # another thread was faster
            return
        close(client)


class LoopLocal(Generic[C]):
    """One asynchronous client, or pool of them, for each event loop; closed when the loop shuts down its generators.

    asyncio.run() and asgiref do that before they close a loop. A dictionary with weak keys would leak every client:
    each refers to its loop, and nothing would await its closing. A client must also not be collected before its loop
    ends, once nothing refers to this object: see _closers.
    """

    def __init__(self, connect: Callable[[], C], close: Callable[[C], Awaitable[object]]) -> None:
        self._connect = connect
        self._close = close
        self._clients: dict[asyncio.AbstractEventLoop, C] = {}
        _instances.value.add(self)

    def get(self, loop: asyncio.AbstractEventLoop) -> C:
        """Return the client of the running loop, making it (without I/O) the first time."""
        try:
            return self._clients[loop]
        except KeyError:
            return self._open(loop)

    def _open(self, loop: asyncio.AbstractEventLoop) -> C:
        for instance, other in list(_closers):
            if other.is_closed():
                instance._drop(other)
        client = self._clients[loop] = self._connect()
        closer = _closers[self, loop] = self._closing(loop, client)
        # The first step registers the generator with its loop and reaches the yield without suspending.
        run_sync(closer.__anext__())  # type: ignore[arg-type]  # has send(), which is all that run_sync() needs
        return client

    async def _closing(self, loop: asyncio.AbstractEventLoop, client: C) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._drop(loop)
            await self._close(client)

    def _drop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._clients.pop(loop, None)
        _closers.pop((self, loop), None)

    def forget(self) -> None:
        _inherited.extend(self._clients.values())
        self._clients = {}


_closers: dict[tuple[LoopLocal[Any], asyncio.AbstractEventLoop], AsyncIterator[None]] = {}
"""The generators that close the clients of loops. A loop refers to its generators weakly: without this, a change of
settings while the loop runs would have its clients collected while open, with a ResourceWarning each."""


class Pools(Generic[C]):
    """A pool for all threads, and one for each event loop; see Pool for the arguments."""

    def __init__(self, threads: Pool[C], loop: Callable[[], Pool[C]]) -> None:
        self._threads = threads
        self._loops: LoopLocal[Pool[C]] = LoopLocal(loop, Pool.aclose)

    def here(self) -> Pool[C]:
        """Return the pool that serves the caller."""
        loop = native_loop()
        return self._threads if loop is None else self._loops.get(loop)

    def close(self) -> None:
        """Close the idle clients of threads; those of a loop end with it."""
        self._threads.close()
