"""Batches: the commands that the tasks of an event loop send to one Redis server go out together.

All commands of one turn of the loop are one packet, and their answers come back in one. Meanwhile the next turn's batch
goes out on another connection, up to MOST_BATCHES at a time; commands that come while all are under way wait, and form
one batch then. So many tasks share few connections.

Each task waits for a future of its own. The batch runs in a task that nobody cancels, until the last deadline of those
who wait: a task that gives up, or is cancelled, leaves the others their answers and their connection.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import redis
from redis.asyncio import SSLConnection

from ...bridge import maybe_await
from ...loop_time import Limit
from ...reprs import shown_as
from ..pools import Pool
from ..resolver import look_up
from .failures import ends_connection

MOST_BATCHES: Final = 4
"""Batches under way at a time, and again as many commands that go alone."""


@shown_as(lambda request: f"{request.commands} commands, {len(request.packed)} bytes")
class _Request(NamedTuple):
    packed: bytes
    commands: int
    answers: "asyncio.Future[list[Any]]"
    deadline: float
    """In loop.time()."""


class Batches:
    """The batches of one event loop; ``make`` makes an unconnected redis.asyncio.Connection."""

    def __init__(self, make: Callable[[], Any], connect_timeout: float, max_idle: float) -> None:
        self._pool: Pool[Any] = Pool(make, close, max_idle=max_idle)
        self._together = _Lane(self._pool, connect_timeout, batch_size=None)
        self._alone = _Lane(self._pool, connect_timeout, batch_size=1)

    async def ask(self, packed: bytes, count: int, seconds: float, alone: bool) -> list[Any]:
        """Send packed commands and return their ``count`` answers, refusals among them; TimeoutError after the seconds.

        What is large or slow goes ``alone``, so that no other command waits behind it.
        """
        lane = self._alone if alone else self._together
        return await lane.ask(packed, count, seconds)

    async def aclose(self) -> None:
        """Close the idle connections; those under way close with their batches."""
        await self._pool.aclose()
        await asyncio.sleep(0)  # the turn in which the transports close their sockets


class _Lane:
    """A queue of requests, and its batches of at most ``batch_size`` requests; None for all that wait."""

    def __init__(self, pool: Pool[Any], connect_timeout: float, batch_size: int | None) -> None:
        self._pool = pool
        self._connect_timeout = connect_timeout
        self._batch_size = batch_size
        self._waiting: list[_Request] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._next: asyncio.Task[None] | None = None

    async def ask(self, packed: bytes, count: int, seconds: float) -> list[Any]:
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Any]] = loop.create_future()
        deadline = loop.time() + seconds
        self._waiting.append(_Request(packed, count, answers, deadline))
        self._start()
        limit = Limit(loop, deadline, partial(_expire, answers))
        try:
            return await answers
        finally:
            limit.cancel()

    def _start(self) -> None:
        """Start a batch, unless one that takes what waits is about to start, or enough are under way."""
        if self._next is None and self._waiting and len(self._under_way) < MOST_BATCHES:
            self._next = task = asyncio.create_task(self._run())
            self._under_way.add(task)
            task.add_done_callback(self._has_run)

    def _has_run(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._next is task:  # cancelled before it began, at the end of the loop
            self._next = None
        self._start()

    async def _run(self) -> None:
        # This runs one turn after _start(), so requests of that turn are in the batch.
        self._next = None
        size = self._batch_size or len(self._waiting)
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        self._start()
        batch = [request for request in taken if not request.answers.done()]  # without those given up meanwhile
        if not batch:
            return
        try:
            await self._pool.use(self._execute, batch)
        except Exception as error:  # noqa: BLE001 - raised where the answers are awaited
            _fail(batch, error)

    async def _execute(self, connection: Any, batch: Sequence[_Request]) -> None:
        packed = b"".join([request.packed for request in batch])
        count = sum([request.commands for request in batch])
        longest = max([request.deadline for request in batch]) - asyncio.get_running_loop().time()
        try:
            answers: list[Any] = await maybe_await(exchange(connection, packed, count, self._connect_timeout), longest)
        except Exception as error:
            _fail(batch, error)  # before the connection is closed, which may take a while
            raise
        over, start = None, 0
        for request in batch:
            own = answers[start : start + request.commands]
            start += request.commands
            refusal = next(filter(ends_connection, own), None)
            if refusal is not None:
                over = refusal
                _fail([request], refusal)
            elif not request.answers.done():
                request.answers.set_result(own)
        if over is not None:
            # Close the connection: a server that has become a replica keeps it open, and refuses every write.
            raise over


async def exchange(connection: Any, packed: bytes, count: int, connect_timeout: float) -> list[Any]:
    """Send packed commands over a redis.asyncio.Connection and return as many answers, refusals among them.

    It is connected first, or again if the server has closed it, or has sent something without being asked.
    """
    if connection.is_connected and await connection.can_read():
        await connection.disconnect(nowait=True)
    if not connection.is_connected:
        connecting: Any = _connect(connection)
        await maybe_await(connecting, connect_timeout)
    await connection.send_packed_command(packed)
    answers = []
    for _ in range(count):
        try:
            answers.append(await connection.read_response())
        except redis.ResponseError as refusal:
            answers.append(refusal)
    return answers


async def close(connection: Any) -> None:
    """Close a connection.

    TLS ends with a round trip, which must be awaited before the loop ends; redis-py gives it the limit for connecting.
    """
    await connection.disconnect(nowait=not isinstance(connection, SSLConnection))


async def _connect(connection: Any) -> None:
    if (host := getattr(connection, "host", None)) is not None:
        # Not by the event loop, whose tasks share a few threads for that: a resolver that hangs would block them all.
        await asyncio.shield(asyncio.wrap_future(look_up(host, int(connection.port))))
    await connection.connect()


def _expire(answers: "asyncio.Future[list[Any]]") -> None:
    if not answers.done():
        answers.set_exception(TimeoutError("no answer in time"))


def _fail(batch: Sequence[_Request], error: Exception) -> None:
    for request in batch:
        if not request.answers.done():
            request.answers.set_exception(error)
