"""One Redis server, by redis-py's documented names: how a connection is made, lent, probed and closed.

Without an event loop, each call has a ``redis.Connection`` for itself. redis-py's client object over the same
connection takes a GET half as long again (decisions.md, D13). In a loop, calls go out in batches, see batches.py.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis
import redis.asyncio
import redis.connection
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.retry import Retry

from ...breaker import PROBE_TIMEOUT
from ...bridge import maybe_await, native_loop
from ..pools import LoopLocal, Pool
from ..sockets import BoundedSocket
from .batches import Batches, Command
from .failures import ends_connection

CLIENT_NAME: Final = "django_multisession"

_AS_SENT: Final = ("SET", "DEL", "INFO", "TIME", "SCAN")
"""Commands whose answers redis-py's client would translate; redis.Connection does not."""


def _as_sent(answer: Any, **options: Any) -> Any:
    return answer


def as_sent(client: Any) -> Any:
    """Return a client of redis-py that leaves the answers to our commands as the server sends them."""
    for command in _AS_SENT:
        client.set_response_callback(command, _as_sent)
    return client


class BoundedConnection:
    """Mixed into a connection class of redis-py: its answers are bounded as a whole, not each recv()."""

    _bounded: BoundedSocket
    _ends_at = 0.0

    def _connect(self) -> Any:  # redis-py's own, borrowed: there is no public way to its socket
        self._bounded = BoundedSocket(super()._connect())  # type: ignore[misc]
        self._bounded.bound(max(self._ends_at - time.monotonic(), 0.001))
        return self._bounded

    def open_within(self: Any, seconds: float) -> None:
        """Connect, with AUTH and SELECT, within so many seconds as a whole; redis.TimeoutError at their end."""
        self._ends_at = time.monotonic() + seconds
        self.socket_timeout = self.socket_connect_timeout = seconds
        try:
            self.connect()
        except (redis.RedisError, OSError) as error:
            # A resolver cannot be bounded; what took longer than it may counts as silence, however it ended.
            if time.monotonic() > self._ends_at:
                raise redis.TimeoutError("no connection in time") from error
            raise

    def ask(self: Any, packed: bytes, count: int, seconds: float, connect_timeout: float) -> list[Any]:
        """Send packed commands and return as many answers, refusals among them; raise what ends the connection."""
        if not self.is_connected:
            started = time.monotonic()
            self.open_within(min(seconds, connect_timeout))
            seconds = max(seconds - (time.monotonic() - started), 0.001)
        self._bounded.bound(seconds)
        self.send_packed_command([packed])
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


class Connections:
    """Connections to one server. ``settings`` are redis-py's, for a connection of either colour; times in seconds."""

    def __init__(
        self,
        connection_class: Any,
        async_connection_class: Any,
        settings: Mapping[str, Any],
        connect_timeout: float,
        max_idle: float,
    ) -> None:
        self._connection_class = bounded(connection_class)
        self._async_connection_class = async_connection_class
        self._settings = {
            "client_name": CLIENT_NAME,
            **settings,
            "protocol": 2,
            "driver_info": None,  # no CLIENT SETINFO: two round trips a connection
            # A repeated swap would report a conflict with itself.
            "retry": Retry(NoBackoff(), 0),
        }
        self._connect_timeout = connect_timeout
        self._threads: Pool[Any] = Pool(self._connection, lambda connection: connection.disconnect(), max_idle=max_idle)
        self._loops = LoopLocal(lambda: Batches(Pool(self._client, _close, max_idle=max_idle)), Batches.aclose)

    def check(self) -> None:
        """Have redis-py check its arguments, without I/O; raises what it raises."""
        self._connection()
        self._async_connection_class(**self._settings)

    async def ask(self, seconds: float, commands: Sequence[Command], alone: bool = False) -> list[Any]:
        """Send commands in one round trip, one after the other on one connection; return their answers in order.

        A refusal is an answer, and stands in its place. What ends the connection is raised. ``alone`` keeps others from
        waiting behind what is large or slow.
        """
        loop = native_loop()
        if loop is not None:
            return await self._loops.get(loop).ask(commands, seconds, alone)
        packed = b"".join(map(_packed, commands))
        answers: list[Any] = await self._threads.use(_ask, packed, len(commands), seconds, self._connect_timeout)
        return answers

    async def probe(self, command: Command) -> None:
        """Send a command on a new connection, within PROBE_TIMEOUT as a whole."""
        if native_loop() is None:
            connection = self._connection()
            try:
                connection.ask(_packed(command), 1, PROBE_TIMEOUT, PROBE_TIMEOUT)
            finally:
                connection.disconnect()
        else:
            await maybe_await(self._ask_new(command), PROBE_TIMEOUT)

    async def _ask_new(self, command: Command) -> Any:
        client = await self._client()
        try:
            return await client.execute_command(*command)
        finally:
            await _close(client)

    def close(self) -> None:
        """Close the idle connections of threads."""
        self._threads.close()

    def _connection(self) -> Any:
        return self._connection_class(**self._settings)

    async def _client(self) -> Any:
        """Return a connected client with one connection."""
        pool: Any = redis.asyncio.ConnectionPool(
            connection_class=self._async_connection_class,
            socket_timeout=None,  # whoever asks bounds the whole
            socket_connect_timeout=self._connect_timeout,
            **self._settings,
        )
        try:
            await pool.release(await maybe_await(pool.get_connection(), self._connect_timeout))
        except BaseException:
            await pool.disconnect()
            raise
        return as_sent(redis.asyncio.Redis(connection_pool=pool))


def _packed(command: Command) -> bytes:
    # Not by redis-py, which looks at every argument first: that takes it as long as all else that it does.
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # hiredis' types know tuples of one only
    return packed


def _ask(connection: Any, *arguments: Any) -> Any:
    return connection.ask(*arguments)


async def _close(client: Any) -> None:
    await client.connection_pool.disconnect()
