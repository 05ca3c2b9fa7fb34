"""The connection of one event loop to Redis, which all of its tasks share.

The server answers commands in the order in which they came, so nobody has to wait for an answer before he asks
(redis.io, "Redis pipelining"). Against a connection for each task that is under way: nobody waits for a free one, and
what many tasks ask at once goes out in one packet and comes back in another.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis import exceptions

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
    """A pipe, opened at the first command and anew after it broke.

    ``connection`` makes an unconnected redis.asyncio.Connection; connecting, with all that redis-py does for
    it (TLS, AUTH, SELECT), may take so many seconds.
    """

    def __init__(self, connection: Callable[[], Any], connect_timeout: float) -> None:
        self._connection = connection
        self._connect_timeout = connect_timeout
        self._pipe: Pipe | None = None
        self._opening: asyncio.Task[Pipe] | None = None

    async def ask(self, command: bytes, deadline: float) -> Any:
        """Send a packed command and return its answer, an exception if that is a refusal.

        Raises TimeoutError at a deadline of the loop's clock, and redis.ConnectionError if the connection breaks.
        """
        pipe = self._pipe
        if pipe is None or pipe.closed:
            async with asyncio.timeout_at(deadline):
                pipe = await self._opened()
        return await pipe.ask(command, deadline)

    async def _opened(self) -> "Pipe":
        # A task of its own: who opened it may be cancelled, while others wait for it.
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._has_opened)
        return await asyncio.shield(self._opening)

    async def _open(self) -> "Pipe":
        connection = self._connection()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._pipe = Pipe(connection)
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

    def __init__(self, connection: Any) -> None:
        # redis-py does not hand it out. The stream writer is kept: its end would close the transport.
        self._writer: asyncio.StreamWriter = connection._writer
        connection._reader = connection._writer = None
        self._transport = self._writer.transport
        self._transport.set_protocol(self)
        self._replies = hiredis.Reader(replyError=_refusal, notEnoughData=_INCOMPLETE)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._answered = 0
        self.closed = False

    async def ask(self, command: bytes, deadline: float) -> Any:
        """See Line.ask()."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._waiting:
            # What others ask in this turn of the loop goes out with it.
            if not self._unsent:
                self._loop.call_soon(self._send)
            self._unsent.append(command)
        else:
            self._transport.write(command)
        self._waiting.append(answer)
        limit = self._loop.call_at(deadline, self._late, answer, self._answered)
        try:
            return await answer
        finally:
            limit.cancel()

    def _send(self) -> None:
        commands, self._unsent = self._unsent, []
        if not self.closed:
            self._transport.write(b"".join(commands))

    def _late(self, answer: "asyncio.Future[Any]", answered: int) -> None:
        # One turn later: after the loop has stalled for so long, an answer may lie in the socket.
        self._loop.call_soon(self._expire, answer, answered)

    def _expire(self, answer: "asyncio.Future[Any]", answered: int) -> None:
        if answer.done():
            return
        answer.set_exception(TimeoutError("no answer in time"))
        if answered == self._answered:
            # Nothing came since it was asked: the connection may be dead without a word, as after a failover.
            self.close()

    def data_received(self, data: bytes) -> None:
        replies, waiting = self._replies, self._waiting
        replies.feed(data)
        try:
            while (reply := replies.gets()) is not _INCOMPLETE:
                answer = waiting.popleft()
                self._answered += 1
                if not answer.done():  # else its task was cancelled, or could not wait any longer
                    answer.set_result(reply)
        except (hiredis.ProtocolError, IndexError):  # no answer in the protocol, or one that nobody has asked for
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(exceptions.ConnectionError("the connection was closed"))

    def close(self) -> None:
        """Close the connection at once; who waits for an answer gets redis.ConnectionError."""
        self._transport.abort()
        self.connection_lost(None)
