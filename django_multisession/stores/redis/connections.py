"""Connections to one Redis server: how they are made, lent, limited in time, probed and closed.

They are redis-py's documented ``redis.Connection`` and ``redis.asyncio.Connection``, which know the protocol, TLS, AUTH
and SELECT. With what redis-py's client adds to them (a pool, retries, translated answers) a GET would take 1.5 times as
long without an event loop, and six times as long in one (decisions.md, D13). Without a loop each call has a connection
to itself; in a loop calls go out in batches, see batches.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import redis
from hiredis import Reader, pack_command
from redis.backoff import NoBackoff
from redis.retry import Retry

from ...breaker import PROBE_TIMEOUT
from ...bridge import here, maybe_await, native_loop
from ...runtime import monotonic
from ..connecting import tcp_options
from ..pools import LoopLocal, Pool
from ..resolver import resolve
from ..sockets import BoundedSocket, Line
from .batches import Batches, close, exchange
from .failures import Command, ends_connection, refusal

CLIENT_NAME: Final = "django_multisession"

pack: Callable[[Command], bytes] = pack_command  # type: ignore[assignment]  # its types know tuples of one


class Maker(Protocol):
    """Makes connections to a server, without I/O."""

    def connection(self) -> Any:
        """Return an unconnected redis.Connection with BoundedConnection mixed in."""

    def async_connection(self) -> Any:
        """Return an unconnected redis.asyncio.Connection, of any event loop."""


def settings_for(settings: Mapping[str, Any], connect_timeout: float, read_timeout: float) -> dict[str, Any]:
    """Return the arguments of a connection of either colour, given those of OPTIONS and LOCATION."""
    tcp = {"socket_keepalive": True, "socket_keepalive_options": tcp_options(read_timeout)}
    return {
        "client_name": CLIENT_NAME,
        **({} if "path" in settings else tcp),
        **settings,
        "protocol": 2,
        "driver_info": None,  # no CLIENT SETINFO: two round trips a connection
        "retry": Retry(NoBackoff(), 0),  # a repeated swap would report a conflict with itself
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": None,  # each call has a limit of its own
    }


class Direct:
    """Makes connections to a server whose address is in ``settings``."""

    def __init__(self, connection_class: Any, async_connection_class: Any, settings: Mapping[str, Any]) -> None:
        self._connection_class = bounded(connection_class)
        self._async_connection_class = async_connection_class
        self._settings = settings

    def connection(self) -> Any:
        return self._connection_class(**self._settings)

    def async_connection(self) -> Any:
        return self._async_connection_class(**self._settings)


class BoundedConnection:
    """Mixed into a connection class of redis-py: limits a whole answer, not each recv()."""

    _bounded: BoundedSocket
    _ends_at = 0.0

    def left(self) -> float:
        """Return how many seconds connecting may still take."""
        return self._ends_at - monotonic()

    def _connect(self: Any) -> Any:  # overrides a private method of redis-py: there is no public way to its socket
        if (host := getattr(self, "host", None)) is not None:
            # redis-py looks the name up without a limit, and gives each of its addresses all of the time. So it is
            # looked up here first, with a limit: a resolver that has just answered will hardly hang.
            addresses = resolve(host, int(self.port), self.left())
            self.socket_connect_timeout = max(self.left() / len(addresses), 0.001)
        self._bounded = BoundedSocket(super()._connect())  # type: ignore[misc]  # of the class that this is mixed into
        self._bounded.bound(max(self.left(), 0.001))
        return self._bounded

    def open(self: Any, seconds: float) -> BoundedSocket:
        """Connect, with AUTH and SELECT, within so many seconds as a whole; redis.TimeoutError at their end."""
        seconds = min(seconds, self.socket_connect_timeout)
        self._ends_at = monotonic() + seconds
        self.socket_timeout = self.socket_connect_timeout = seconds
        try:
            self.connect()
        except (redis.RedisError, OSError) as error:
            # A resolver takes no limit: what took longer than it may counts as silence, however it ended.
            if monotonic() > self._ends_at:
                raise redis.TimeoutError("no connection in time") from error
            raise
        return self._bounded  # type: ignore[no-any-return]  # redis-py's classes are mixed in


def bounded(connection_class: Any) -> Any:
    """Return a subclass of a connection class with BoundedConnection mixed in."""
    return type(connection_class.__name__, (BoundedConnection, connection_class), {})


class Connections:
    """Connections to one server; times in seconds.

    hiredis packs commands and parses answers: redis-py inspects every argument first, and spends more time on an answer
    than all else that a session needs (decisions.md, D81).
    """

    def __init__(self, maker: Maker, connect_timeout: float, max_idle: float) -> None:
        self._maker = maker
        self._threads: Pool[Line] = Pool(self._line, Line.close, max_idle=max_idle)
        self._loops = LoopLocal(lambda: Batches(maker.async_connection, connect_timeout, max_idle), Batches.aclose)

    def _line(self) -> Line:
        reader = Reader(protocolError=redis.InvalidResponse, replyError=refusal)
        return Line(self._maker.connection(), reader, ends_connection)

    def _send(self, seconds: float, packed: bytes, count: int, alone: bool) -> Awaitable[list[Any]]:
        loop = None if here.driven else native_loop()
        if loop is None:
            return self._threads.use(Line.ask, packed, count, seconds)
        return self._loops.get(loop).ask(packed, count, seconds, alone)

    def ask(self, seconds: float, commands: Sequence[Command], alone: bool = False) -> Awaitable[list[Any]]:
        """Send commands in one round trip, on one connection; return their answers in order.

        A refusal stands in its place among them, as an exception; one that ends the connection is raised. ``alone``
        keeps other commands from waiting behind a large or slow one.
        """
        return self._send(seconds, b"".join(map(pack, commands)), len(commands), alone)

    async def answer(self, seconds: float, command: Command, alone: bool) -> Any:
        """Return the answer to one command; see ask(). A refusal is raised."""
        [answer] = await self._send(seconds, pack(command), 1, alone)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def probe(self, command: Command, seconds: float = PROBE_TIMEOUT) -> None:
        """Send a command on a new connection, within so many seconds as a whole; raise what ends the connection."""
        if native_loop() is None:
            line = self._line()
            try:
                line.ask(pack(command), 1, seconds)
            finally:
                line.close()
            return
        connection = self._maker.async_connection()
        try:
            _: list[Any] = await maybe_await(exchange(connection, pack(command), 1, seconds), seconds)
        finally:
            await close(connection)
            await asyncio.sleep(0)  # the turn in which the transport closes its socket

    def close(self) -> None:
        """Close the idle connections of threads."""
        self._threads.close()
