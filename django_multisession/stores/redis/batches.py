"""What the tasks of an event loop ask of one Redis server goes out together.

The commands of all that ask in one turn of the loop are one pipeline of redis-py: one packet there, one back. While
it is under way the next turn's goes out on another connection, MOST_BATCHES at a time; what is asked meanwhile waits,
and is one batch then. So a crowd of tasks costs a fraction of a connection each.

Each task waits for a future of its own. The pipeline runs in a task that nobody cancels, as long as the most patient
of its tasks: who gives up, or is cancelled, leaves the others their answers and their connection.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from ...bridge import Limit, maybe_await
from ..pools import Pool
from .failures import ends_connection

MOST_BATCHES: Final = 4
"""Batches under way at a time; as many again of what goes alone."""

Command = tuple[str | bytes | int, ...]


class _Asked(NamedTuple):
    commands: Sequence[Command]
    answers: "asyncio.Future[list[Any]]"
    deadline: float
    """By the loop's clock."""


class Batches:
    """The batches of one event loop; ``clients`` lends a redis.asyncio.Redis, or what has its pipeline()."""

    def __init__(self, clients: Pool[Any]) -> None:
        self._clients = clients
        self._together = _Lane(clients, batch_size=None)
        self._alone = _Lane(clients, batch_size=1)

    async def ask(self, commands: Sequence[Command], seconds: float, alone: bool) -> list[Any]:
        """Return the answers in order, refusals among them; TimeoutError after so many seconds."""
        lane = self._alone if alone else self._together
        return await lane.ask(commands, seconds)

    async def aclose(self) -> None:
        """Close the idle connections; those under way close with their batches."""
        await self._clients.aclose()


class _Lane:
    """Batches that wait for each other; ``batch_size`` tasks each at most, None for all that wait."""

    def __init__(self, clients: Pool[Any], batch_size: int | None) -> None:
        self._clients = clients
        self._batch_size = batch_size
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Any]] = loop.create_future()
        deadline = loop.time() + seconds
        if not self._waiting:
            loop.call_soon(self._send)  # after what others ask in this turn
        self._waiting.append(_Asked(commands, answers, deadline))
        limit = Limit(loop, deadline, partial(_expire, answers))
        try:
            return await answers
        finally:
            limit.cancel()

    def _send(self) -> None:
        while self._waiting and len(self._under_way) < MOST_BATCHES:
            size = self._batch_size or len(self._waiting)
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            task = asyncio.create_task(self._run(batch))
            self._under_way.add(task)
            task.add_done_callback(self._has_run)

    def _has_run(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._send()

    async def _run(self, batch: Sequence[_Asked]) -> None:
        batch = [asked for asked in batch if not asked.answers.done()]  # without those who gave up meanwhile
        if not batch:
            return
        try:
            await self._clients.use(self._execute, batch)
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            _fail(batch, error)

    async def _execute(self, client: Any, batch: Sequence[_Asked]) -> None:
        pipeline = client.pipeline(transaction=False)
        for asked in batch:
            for command in asked.commands:
                pipeline.execute_command(*command)
        longest = max(asked.deadline for asked in batch) - asyncio.get_running_loop().time()
        try:
            answers = iter(await maybe_await(pipeline.execute(raise_on_error=False), longest))
        except Exception as error:
            _fail(batch, error)  # before the connection is closed, which may take a while
            raise
        over = None
        for asked in batch:
            own = [next(answers) for _ in asked.commands]
            refusal = next(filter(ends_connection, own), None)
            if refusal is not None:
                over = refusal
                _fail([asked], refusal)
            elif not asked.answers.done():
                asked.answers.set_result(own)
        if over is not None:
            # It may be the server: one that has become a replica keeps its connections, and refuses every write.
            raise over


def _expire(answers: "asyncio.Future[list[Any]]") -> None:
    if not answers.done():
        answers.set_exception(TimeoutError("no answer in time"))


def _fail(batch: Sequence[_Asked], error: Exception) -> None:
    for asked in batch:
        if not asked.answers.done():
            asked.answers.set_exception(error)
