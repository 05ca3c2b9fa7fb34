"""What the tasks of an event loop ask of one Redis server goes out together.

The commands of all that ask in one turn of the loop are one packet there, and one back. While it is under way the next
turn's goes out on another connection, MOST_BATCHES at a time; what is asked meanwhile waits, and is one batch then. So
a crowd of tasks costs each a fraction of a connection.

Each task waits for a future of its own. The batch runs in a task that nobody cancels, as long as the most patient of
those who wait: who gives up, or is cancelled, leaves the others their answers and their connection.
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
"""Batches under way at a time; as many again of what goes alone."""


@shown_as(lambda asked: f"{asked.commands} commands, {len(asked.packed)} bytes")
class _Asked(NamedTuple):
    packed: bytes
    commands: int
    answers: "asyncio.Future[list[Any]]"
    deadline: float
    """By the loop's clock."""


class Batches:
    """The batches of one event loop; ``make`` makes an unconnected redis.asyncio.Connection."""

    def __init__(self, make: Callable[[], Any], connect_timeout: float, max_idle: float) -> None:
        self._pool: Pool[Any] = Pool(make, close, max_idle=max_idle)
        self._together = _Lane(self._pool, connect_timeout, batch_size=None)
        self._alone = _Lane(self._pool, connect_timeout, batch_size=1)

    async def ask(self, packed: bytes, count: int, seconds: float, alone: bool) -> list[Any]:
        """Return so many answers, refusals among them; TimeoutError after so many seconds."""
        lane = self._alone if alone else self._together
        return await lane.ask(packed, count, seconds)

    async def aclose(self) -> None:
        """Close the idle connections; those under way close with their batches."""
        await self._pool.aclose()
        await asyncio.sleep(0)  # in which the transports close their sockets


class _Lane:
    """Batches that wait for each other; ``batch_size`` tasks each at most, None for all that wait."""

    def __init__(self, pool: Pool[Any], connect_timeout: float, batch_size: int | None) -> None:
        self._pool = pool
        self._connect_timeout = connect_timeout
        self._batch_size = batch_size
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._next: asyncio.Task[None] | None = None

    async def ask(self, packed: bytes, count: int, seconds: float) -> list[Any]:
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Any]] = loop.create_future()
        deadline = loop.time() + seconds
        self._waiting.append(_Asked(packed, count, answers, deadline))
        self._start()
        limit = Limit(loop, deadline, partial(_expire, answers))
        try:
            return await answers
        finally:
            limit.cancel()

    def _start(self) -> None:
        """Begin a batch, unless one is about to begin that takes what waits, or enough are under way."""
        if self._next is None and self._waiting and len(self._under_way) < MOST_BATCHES:
            self._next = task = asyncio.create_task(self._run())
            self._under_way.add(task)
            task.add_done_callback(self._has_run)

    def _has_run(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if self._next is task:  # cancelled, at the end of the loop, before it began
            self._next = None
        self._start()

    async def _run(self) -> None:
        # A turn after it was started: what others have asked in that turn goes with it.
        self._next = None
        size = self._batch_size or len(self._waiting)
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        self._start()
        batch = [asked for asked in taken if not asked.answers.done()]  # without those who gave up meanwhile
        if not batch:
            return
        try:
            await self._pool.use(self._execute, batch)
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            _fail(batch, error)

    async def _execute(self, connection: Any, batch: Sequence[_Asked]) -> None:
        packed = b"".join([asked.packed for asked in batch])
        count = sum([asked.commands for asked in batch])
        longest = max([asked.deadline for asked in batch]) - asyncio.get_running_loop().time()
        try:
            answers: list[Any] = await maybe_await(exchange(connection, packed, count, self._connect_timeout), longest)
        except Exception as error:
            _fail(batch, error)  # before the connection is closed, which may take a while
            raise
        over, start = None, 0
        for asked in batch:
            own = answers[start : start + asked.commands]
            start += asked.commands
            refusal = next(filter(ends_connection, own), None)
            if refusal is not None:
                over = refusal
                _fail([asked], refusal)
            elif not asked.answers.done():
                asked.answers.set_result(own)
        if over is not None:
            # It may be the server: one that has become a replica keeps its connections, and refuses every write.
            raise over


async def exchange(connection: Any, packed: bytes, count: int, connect_timeout: float) -> list[Any]:
    """Send packed commands over a redis.asyncio.Connection and return as many answers, refusals among them.

    One that is not connected, or that the server has closed or spoken on without being asked, is connected anew.
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

    TLS ends with a round trip, for which at the end of a loop nobody else would wait; redis-py bounds that by the limit
    for connecting.
    """
    await connection.disconnect(nowait=not isinstance(connection, SSLConnection))


async def _connect(connection: Any) -> None:
    if (host := getattr(connection, "host", None)) is not None:
        # The event loop looks names up on the threads that its tasks share, and a resolver that hangs would take all.
        await asyncio.shield(asyncio.wrap_future(look_up(host, int(connection.port))))
    await connection.connect()


def _expire(answers: "asyncio.Future[list[Any]]") -> None:
    if not answers.done():
        answers.set_exception(TimeoutError("no answer in time"))


def _fail(batch: Sequence[_Asked], error: Exception) -> None:
    for asked in batch:
        if not asked.answers.done():
            asked.answers.set_exception(error)
