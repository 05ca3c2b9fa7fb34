"""The connection of one event loop to Redis, which all of its tasks share.

The server answers commands in the order in which they came, so nobody has to wait for an answer before he asks
(redis.io, "Redis pipelining"). Against a connection for each task that is under way: nobody waits for a free one, and
what many tasks ask at once goes out in one packet and comes back in another.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import hiredis
from redis import exceptions

from ...bridge import Limit, maybe_await
from ...exceptions import StoreUnavailable

_INCOMPLETE: Final = object()

# By the first word of a refusal; logs show the class.
_REFUSALS: Final[dict[str, type[exceptions.RedisError]]] = {
    "LOADING": exceptions.BusyLoadingError,
    "MASTERDOWN": exceptions.MasterDownError,
    "NOAUTH": exceptions.AuthenticationError,
    "NOPERM": exceptions.NoPermissionError,
    "NOSCRIPT": exceptions.NoScriptError,
    "OOM": exceptions.OutOfMemoryError,
    "READONLY": exceptions.ReadOnlyError,
}


def _refusal(text: str) -> exceptions.RedisError:
    return _REFUSALS.get(text.partition(" ")[0], exceptions.ResponseError)(text)


class Line:
    """A pipe, opened at the first command and anew after it broke. ``name`` is the store's.

    ``connection`` makes an unconnected redis.asyncio.Connection; connecting, with all that redis-py does for it (TLS,
    AUTH, SELECT), may take ``connect_timeout``. Who is silent for ``read_timeout`` is taken for dead. In seconds.
    """

    def __init__(self, name: str, connection: Callable[[], Any], connect_timeout: float, read_timeout: float) -> None:
        self._name = name
        self._connection = connection
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._pipe: Pipe | None = None
        self._opening: asyncio.Task[Pipe] | None = None

    async def ask(self, command: bytes, deadline: float) -> Any:
        """Send a packed command and return its answer, an exception if that is a refusal.

        Raises TimeoutError at a deadline of the loop's clock, and redis.ConnectionError if the connection breaks: one
        of the tasks that it leaves without an answer, the others StoreUnavailable. It is one failure, not many.
        """
        pipe = self._pipe
        if pipe is None or pipe.closed:
            return await (await self._fresh(deadline)).ask(command, deadline)
        return await pipe.ask(command, deadline)

    def renew(self) -> None:
        """Have the next command use a new connection, and close this one behind its last answer."""
        if self._pipe is not None:
            self._pipe.retire()
            self._pipe = None

    async def _fresh(self, deadline: float) -> "Pipe":
        pipe: Pipe = await maybe_await(self._opened(), deadline - asyncio.get_running_loop().time())
        return pipe

    async def _opened(self) -> "Pipe":
        if self._opening is not None:
            try:
                return await asyncio.shield(self._opening)
            except (exceptions.RedisError, OSError) as error:
                raise StoreUnavailable(self._name, type(error).__name__, retryable=True) from error
        # A task of its own: who opened it may be cancelled, while others wait for it.
        self._opening = asyncio.create_task(self._open())
        self._opening.add_done_callback(self._has_opened)
        return await asyncio.shield(self._opening)

    async def _open(self) -> "Pipe":
        connection = self._connection()
        try:
            await maybe_await(connection.connect(), self._connect_timeout)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._pipe = Pipe(self._name, connection, self._read_timeout)
        return self._pipe

    def _has_opened(self, opening: "asyncio.Task[Pipe]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # which those who waited have, if any are left

    async def close(self) -> None:
        """Close the connection, without waiting for the server."""
        if self._opening is not None:
            self._opening.cancel()
        if self._pipe is not None:
            self._pipe.close()
            await asyncio.sleep(0)  # in which the transport closes its socket


class Pipe(asyncio.Protocol):
    """A connection that redis-py has made, with answers in flight."""

    def __init__(self, name: str, connection: Any, read_timeout: float) -> None:
        self._name = name
        self._read_timeout = read_timeout
        self._replies = hiredis.Reader(replyError=_refusal, notEnoughData=_INCOMPLETE)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._heard = 0.0
        self._retired = False
        # redis-py does not hand it out. The stream writer is kept: its end would close the transport.
        self._writer: asyncio.StreamWriter = connection._writer
        self.closed = connection._reader.at_eof() or self._writer.is_closing()
        connection._reader = connection._writer = None
        self._transport = self._writer.transport
        self._transport.set_protocol(self)

    async def ask(self, command: bytes, deadline: float) -> Any:
        """See Line.ask()."""
        if self.closed:
            self._transport.abort()
            raise exceptions.ConnectionError("the connection was closed as soon as it was open")
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._waiting:
            # What others ask in this turn of the loop goes out with it.
            if not self._unsent:
                self._loop.call_soon(self._send)
            self._unsent.append(command)
        else:
            self._transport.write(command)
        self._waiting.append(answer)
        limit = Limit(self._loop, deadline, partial(self._expire, answer, self._loop.time()))
        try:
            return await answer
        finally:
            limit.cancel()

    def _send(self) -> None:
        commands, self._unsent = self._unsent, []
        if not self.closed:
            self._transport.write(b"".join(commands))

    def _expire(self, answer: "asyncio.Future[Any]", asked: float) -> None:
        if answer.done():
            return
        answer.set_exception(TimeoutError("no answer in time"))
        if self._heard < asked <= self._loop.time() - self._read_timeout:
            # Not a byte for so long: the connection may be dead without a word, as after a failover.
            self.close()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        replies, waiting = self._replies, self._waiting
        replies.feed(data)
        try:
            while (reply := replies.gets()) is not _INCOMPLETE:
                answer = waiting.popleft()
                if not answer.done():  # else its task was cancelled, or could not wait any longer
                    answer.set_result(reply)
        except (hiredis.ProtocolError, IndexError):  # no answer in the protocol, or one that nobody has asked for
            self.close()
        if self._retired and not waiting:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        reason: Exception = exceptions.ConnectionError("the connection was closed")
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(reason)
                reason = StoreUnavailable(self._name, "ConnectionError", retryable=True)

    def retire(self) -> None:
        """Close the connection once all answers have come."""
        self._retired = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close the connection at once."""
        self._transport.abort()
        self.connection_lost(None)
