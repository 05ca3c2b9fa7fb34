"""Connections to one Redis server, by redis-py's documented names: how they are lent, bounded, probed and closed.

They are ``redis.Connection`` and ``redis.asyncio.Connection``, which know the protocol, TLS, AUTH and SELECT. What
redis-py's client object adds to them (a pool, retries, translated answers) takes a GET half as long again without an
event loop, and six times as much in one (decisions.md, D13). Without a loop each call has a connection for itself; in
one, calls go out in batches, see batches.py.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

import redis
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.retry import Retry

from ...breaker import PROBE_TIMEOUT
from ...bridge import here, maybe_await, native_loop
from ...runtime import monotonic
from ..pools import LoopLocal, Pool
from ..resolver import resolve
from ..sockets import BoundedSocket, tcp_options
from .batches import Batches, close, exchange
from .failures import Command, answered, ends_connection

CLIENT_NAME: Final = "django_multisession"


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
        "socket_timeout": None,  # whoever asks bounds the whole
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
    """Mixed into a connection class of redis-py: its answers are bounded as a whole, not each recv()."""

    _bounded: BoundedSocket
    _ends_at = 0.0

    def left(self) -> float:
        """Return how many seconds connecting may still take."""
        return self._ends_at - monotonic()

    def _connect(self: Any) -> Any:  # redis-py's own, borrowed: there is no public way to its socket
        if (host := getattr(self, "host", None)) is not None:
            # redis-py looks the name up without a limit: not before somebody has just been answered. And it gives each
            # address of a name all of the time.
            addresses = resolve(host, int(self.port), self.left())
            self.socket_connect_timeout = max(self.left() / len(addresses), 0.001)
        self._bounded = BoundedSocket(super()._connect())  # type: ignore[misc]  # of the class that this is mixed into
        self._bounded.bound(max(self.left(), 0.001))
        return self._bounded

    def open_within(self: Any, seconds: float) -> None:
        """Connect, with AUTH and SELECT, within so many seconds as a whole; redis.TimeoutError at their end."""
        self._ends_at = monotonic() + seconds
        self.socket_timeout = self.socket_connect_timeout = seconds
        try:
            self.connect()
        except (redis.RedisError, OSError) as error:
            # A resolver cannot be bounded; what took longer than it may counts as silence, however it ended.
            if monotonic() > self._ends_at:
                raise redis.TimeoutError("no connection in time") from error
            raise

    def ask(self: Any, packed: bytes, count: int, seconds: float, connect_timeout: float) -> list[Any]:
        """Send packed commands and return as many answers, refusals among them; raise what ends the connection."""
        if not self.is_connected:
            started = monotonic()
            self.open_within(min(seconds, connect_timeout))
            seconds = max(seconds - (monotonic() - started), 0.001)
        self._bounded.ask(packed, seconds)
        answers = []
        for _ in range(count):
            try:
                answers.append(self.read_response())
            except redis.ResponseError as refusal:
                if ends_connection(refusal):
                    raise
                answers.append(refusal)
        return answers


def bounded(connection_class: Any) -> Any:
    """Return a class of connections whose answers are bounded as a whole."""
    return type(connection_class.__name__, (BoundedConnection, connection_class), {})


def packed(commands: Sequence[Command]) -> bytes:
    """Return commands as they are sent.

    Not by redis-py, which looks at every argument first: that takes it as long as all else that it does.
    """
    return b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]  # its types know tuples of one


class Connections:
    """Connections to one server; times in seconds."""

    def __init__(self, maker: Maker, connect_timeout: float, max_idle: float) -> None:
        self._maker = maker
        self._connect_timeout = connect_timeout
        self._threads: Pool[Any] = Pool(maker.connection, lambda connection: connection.disconnect(), max_idle=max_idle)
        self._loops = LoopLocal(lambda: Batches(maker.async_connection, connect_timeout, max_idle), Batches.aclose)

    def ask(self, seconds: float, commands: Sequence[Command], alone: bool = False) -> Awaitable[list[Any]]:
        """Send commands in one round trip, one after the other on one connection; return their answers in order.

        A refusal is an answer, and stands in its place. What ends the connection is raised. ``alone`` keeps others from
        waiting behind what is large or slow.
        """
        loop = None if here.driven else native_loop()
        if loop is not None:
            return self._loops.get(loop).ask(packed(commands), len(commands), seconds, alone)
        return self._threads.use(BoundedConnection.ask, packed(commands), len(commands), seconds, self._connect_timeout)

    async def answer(self, seconds: float, command: Command, alone: bool) -> Any:
        """Return the answer to one command; see ask(). A refusal is raised."""
        return answered(*await self.ask(seconds, [command], alone))

    async def probe(self, command: Command, seconds: float = PROBE_TIMEOUT) -> None:
        """Send a command on a new connection, within so many seconds as a whole; raise what ends the connection."""
        if native_loop() is None:
            connection = self._maker.connection()
            try:
                connection.ask(packed([command]), 1, seconds, seconds)
            finally:
                connection.disconnect()
            return
        connection = self._maker.async_connection()
        try:
            _: list[Any] = await maybe_await(exchange(connection, packed([command]), 1, seconds), seconds)
        finally:
            await close(connection)
            await asyncio.sleep(0)  # in which the transport closes its socket

    def close(self) -> None:
        """Close the idle connections of threads."""
        self._threads.close()
