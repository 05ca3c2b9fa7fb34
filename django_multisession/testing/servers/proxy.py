"""A TCP proxy on loopback that counts what passes and breaks it on demand.

It knows no protocol: a "request" is one read from the client's socket, which is one command or
pipeline for the client libraries here, as long as it is small.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Generic, Self, TypeVar

from django_multisession.testing.servers.base import LOOPBACK, LocationT, Server

CHUNK = 1 << 20
T = TypeVar("T")


class _Mode(Enum):
    FORWARD = "forward"
    BLACKHOLE = "blackhole"
    REFUSE = "refuse"


@dataclass
class _Cut:
    after: bytes
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class _Connection:
    """One client and, unless it fell into the black hole, its connection to the server."""

    writers: list[asyncio.StreamWriter]
    tail: bytes = b""  # the end of the last request, for a pattern cut in two
    cut: _Cut | None = None  # waits for the server's next reply
    forgotten: bool = False

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy(Generic[LocationT]):
    """Stand between a client and `server`. Use as a context manager; every method is thread-safe.

    The proxy has a thread and an event loop of its own, so that it serves clients of both colours.
    """

    host = LOOPBACK

    def __init__(self, server: Server[LocationT]) -> None:
        self.server = server
        self.port = 0  # until entered; the same after refuse() and restore()
        self.connections = 0  # accepted since the start or reset()
        self.requests = 0  # writes of clients
        self.bytes_sent = 0  # by clients
        self.bytes_received = 0  # by clients
        self._mode = _Mode.FORWARD
        self._delay = 0.0
        self._pause: float | None = None
        self._cut: _Cut | None = None
        self._open: set[_Connection] = set()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._listener: asyncio.Server | None = None

    @property
    def location(self) -> LocationT:
        """What goes into Django's settings to reach the server through this proxy."""
        return self.server.location_at(self.port)

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._open)

    def reset(self) -> None:
        """Set the counters to zero."""

        def zero() -> None:
            self.connections = self.requests = self.bytes_sent = self.bytes_received = 0

        self._call(zero)

    # What can go wrong. Each holds until restore(), except where it says otherwise.

    def cut_reply(self, after: bytes) -> threading.Event:
        """Lose the reply to the next request that holds ``after``, once; the event tells that it happened.

        The server carries out the request, and then the connection is cut in place of the reply. A cut is an end of
        file, which is what a client sees of a server that is killed.
        """
        cut = _Cut(after)
        self._call(lambda: setattr(self, "_cut", cut))
        return cut.done

    def delay(self, seconds: float) -> None:
        """Hold back every part of a reply for this long."""
        self._call(lambda: setattr(self, "_delay", seconds))

    def trickle(self, seconds: float) -> None:
        """Send replies a byte at a time, with so many seconds between two."""
        self._call(lambda: setattr(self, "_pause", seconds))

    def forget(self) -> None:
        """Lose in silence whatever comes over the connections that are open, as a firewall does; new ones work."""

        def forget() -> None:
            for connection in self._open:
                connection.forgotten = True

        self._call(forget)

    def blackhole(self) -> None:
        """Accept connections and bytes and never answer, also on connections already open."""
        self._call(lambda: setattr(self, "_mode", _Mode.BLACKHOLE))

    def refuse(self) -> None:
        """Refuse connections, and cut those that are open: a server that is down."""
        self._run(self._refuse())

    def disconnect(self) -> None:
        """Cut the open connections, once."""
        self._call(self._abort_all)

    def restore(self) -> None:
        """Forward again. What fell into the black hole stays lost: its connections are cut."""
        self._run(self._restore())

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.server.name}", daemon=True)
        self._thread.start()
        try:
            self._run(self._listen())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._refuse())
        self._end()

    # The rest runs in the proxy's loop.

    def _call(self, function: Callable[[], None]) -> None:
        async def body() -> None:
            function()

        self._run(body())

    def _run(self, coroutine: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    def _end(self) -> None:
        with contextlib.suppress(TimeoutError):
            self._run(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _settle(self) -> None:
        # Handlers see the abort and leave; a delayed reply is given up.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the next round

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, self.host, self.port, limit=CHUNK)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        self._mode = _Mode.REFUSE
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._abort_all()
        await asyncio.sleep(0)

    async def _restore(self) -> None:
        was, self._mode, self._delay, self._pause, self._cut = self._mode, _Mode.FORWARD, 0.0, None, None
        if was is _Mode.BLACKHOLE:
            self._abort_all()
        if self._listener is None:
            await self._listen()

    def _abort_all(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection([writer])
        self._open.add(connection)
        try:
            if self._mode is _Mode.BLACKHOLE:
                await self._pump(reader, None, self._request, connection)
            else:
                await self._forward(reader, writer, connection)
        except OSError:
            pass  # either side is gone, or the server cannot be reached: so is the client's end
        finally:
            connection.abort()
            self._open.discard(connection)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        answers, server = await asyncio.open_connection(self.server.host, self.server.port, limit=CHUNK)
        connection.writers.append(server)
        for end in connection.writers:
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pumps = [
            asyncio.ensure_future(self._pump(reader, server, self._request, connection)),
            asyncio.ensure_future(self._pump(answers, writer, self._reply, connection)),
        ]
        try:
            # The first end that closes closes the other; no protocol here uses half-open ones.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter | None,
        passes: Callable[[bytes, _Connection], Awaitable[bool]],
        connection: _Connection,
    ) -> None:
        while data := await source.read(CHUNK):
            if not await passes(data, connection):
                connection.abort()
                return
            if self._mode is not _Mode.FORWARD or target is None or connection.forgotten:
                continue
            if self._pause is not None and target is connection.writers[0]:
                for byte in data:
                    target.write(bytes([byte]))
                    await asyncio.sleep(self._pause)
            else:
                target.write(data)
                await target.drain()

    async def _request(self, data: bytes, connection: _Connection) -> bool:
        self.requests += 1
        self.bytes_sent += len(data)
        if self._cut is not None and self._cut.after in connection.tail + data:
            connection.cut, self._cut = self._cut, None
        overlap = len(self._cut.after) - 1 if self._cut is not None else 0
        connection.tail = (connection.tail + data)[-overlap:] if overlap else b""
        return True

    async def _reply(self, data: bytes, connection: _Connection) -> bool:
        if connection.cut is not None:
            connection.cut.done.set()
            return False
        if self._delay:
            await asyncio.sleep(self._delay)
        self.bytes_received += len(data)
        return True
