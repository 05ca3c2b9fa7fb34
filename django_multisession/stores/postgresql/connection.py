"""Statements over psycopg's libpq connection: one body for both colours, within a time limit.

psycopg's Connection and AsyncConnection would serve, but for three things. A cancelled task makes
the latter ask the server to cancel, for up to 5 seconds, and wait 5 more: a hung server would hold
a request ten times as long as it may take. Connecting takes 2 seconds at least before it fails. And
their prepared statements are numbered: behind a pooler that lends server connections by transaction
the number may be another client's, and a read run its DELETE. Ours are named after their own text.
"""

import hashlib
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import count
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from psycopg import OperationalError, errors, generators, waiting
from psycopg.conninfo import conninfo_attempts, conninfo_attempts_async, make_conninfo
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from ...bridge import maybe_await

Value = str | bytes | int | float | Sequence[str]
WaitedT = TypeVar("WaitedT")
ReadyT = TypeVar("ReadyT")
ResultT = TypeVar("ResultT")

# psycopg's wait functions look up this often, in seconds, whether to go on waiting.
INTERVAL = 0.1
_ALREADY_PREPARED = b"42P05"
_NOT_PREPARED = (
    b"26000",  # no such statement: a pooler gave us another server connection
    b"0A000",  # the table was altered: "cached plan must not change result type"
)


class AnswerTimeout(OperationalError):
    """The server did not answer in time.

    Not a TimeoutError, which is an OSError: psycopg's wait takes that for a lost socket.
    """


class Statement:
    """SQL with %s for its values, as Django's cursors take it, and as the server does.

    All that it returns is text or bytea, so that what arrives needs no conversion.
    """

    __slots__ = ("name", "numbered", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql
        number = count(1)
        self.numbered = re.sub("%s", lambda _: f"${next(number)}", sql).encode()
        digest = hashlib.blake2s(self.numbered, digest_size=8).hexdigest()
        self.name = f"multisession_{digest}".encode()


class Result(NamedTuple):
    """The rows that a statement returned, and how many rows it returned or changed."""

    rows: list[tuple[bytes, ...]]
    affected: int


def within(steps: Generator[WaitedT, ReadyT, ResultT], deadline: float) -> Generator[WaitedT, ReadyT, ResultT]:
    """Take psycopg's steps to their end, or to the deadline, a monotonic time (AnswerTimeout).

    A socket that is ready past the deadline belongs to a server that has answered, and to an event loop that was busy.
    It gets as much time again.
    """
    last = 2 * deadline - monotonic()
    try:
        wanted = next(steps)
        while True:
            socket_is_ready = yield wanted
            wanted = steps.send(socket_is_ready)
            if monotonic() >= (last if socket_is_ready else deadline):
                raise AnswerTimeout("no answer in time")
    except StopIteration as finished:
        result: ResultT = finished.value
        return result


class Client:
    """One connection, made by its first statement; for one thread at a time, or for one event loop.

    ``parameters`` returns libpq's, and is asked at each connect. After any exception: close it.
    """

    def __init__(
        self,
        parameters: Callable[[], Mapping[str, Any]],
        connect_timeout: float,
        *,
        prepare: bool,
        asynchronous: bool,
    ) -> None:
        self._parameters = parameters
        self._connect_timeout = connect_timeout
        self._prepare = prepare
        self._seen: set[bytes] = set()
        self._prepared: set[bytes] = set()
        self._connection: PGconn | None = None
        self._attempts: Any = conninfo_attempts_async if asynchronous else conninfo_attempts
        self._wait_connected: Any = waiting.wait_conn_async if asynchronous else waiting.wait_conn
        self._wait: Any = waiting.wait_async if asynchronous else waiting.wait

    async def execute(self, statement: Statement, values: Sequence[Value], seconds: float) -> Result:
        """Run a statement as a transaction, for at most so many seconds (AnswerTimeout)."""
        deadline = monotonic() + seconds
        connection = self._connection
        if connection is None:
            connection = await self._connect(deadline)
        exchange = within(self._exchange(connection, statement, values), deadline)
        interval = min(seconds, INTERVAL)
        result: Result = await maybe_await(self._wait(exchange, connection.socket, interval=interval))
        return result

    def close(self) -> None:
        """End the connection, without I/O that could wait."""
        if self._connection is not None:
            self._connection.finish()

    async def aclose(self) -> None:
        """See close()."""
        self.close()

    async def _connect(self, deadline: float) -> PGconn:
        seconds = min(self._connect_timeout, deadline - monotonic())
        deadline = monotonic() + seconds
        parameters = dict(self._parameters())
        role = parameters.pop("assume_role", None)
        # Hosts and addresses are tried in turn. A synchronous look-up of a name cannot be bounded.
        for attempt in (attempts := await maybe_await(self._attempts(parameters), seconds)):
            steps = within(generators.connect(make_conninfo("", **attempt)), deadline)
            try:
                connecting = self._wait_connected(steps, interval=min(seconds, INTERVAL))
                connection: PGconn = await maybe_await(connecting)
                break
            except OperationalError as error:
                if isinstance(error, AnswerTimeout) or attempt is attempts[-1]:
                    raise
        self._connection = connection
        if role:
            await self.execute(SET_ROLE, (role,), deadline - monotonic())
        return connection

    def _exchange(
        self, connection: PGconn, statement: Statement, values: Sequence[Value]
    ) -> Generator[Any, Any, Result]:
        parameters = [_encode(value) for value in values]
        formats = [Format.BINARY if isinstance(value, bytes) else Format.TEXT for value in values]
        name = statement.name
        if self._prepare and name not in self._prepared:
            if name in self._seen:
                connection.send_prepare(name, statement.numbered)
                (result,) = yield from generators.execute(connection)
                # A pooler's other client may have done it: the same name is the same text.
                if _state(result) != _ALREADY_PREPARED:
                    _check(result)
                self._prepared.add(name)
            # Not the first time: a connection that serves one request would only lose by it.
            self._seen.add(name)
        if name in self._prepared:
            connection.send_query_prepared(name, parameters, formats, Format.BINARY)
            (result,) = yield from generators.execute(connection)
            if _state(result) not in _NOT_PREPARED:
                return _result(result)
            self._prepare = False
            self._prepared.clear()
        connection.send_query_params(statement.numbered, parameters, None, formats, Format.BINARY)
        (result,) = yield from generators.execute(connection)
        return _result(result)


SET_ROLE = Statement("SELECT set_config('role', %s, false)")


def _encode(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str | int | float):
        return str(value).encode()
    return f"{{{','.join(value)}}}".encode()  # storage keys, which need no quotes


def _state(result: PGresult) -> bytes | None:
    if result.status != ExecStatus.FATAL_ERROR:
        return None
    return result.error_field(DiagnosticField.SQLSTATE)


def _check(result: PGresult) -> None:
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise errors.error_from_result(result)


def _result(result: PGresult) -> Result:
    _check(result)
    columns = range(result.nfields)
    rows = [tuple(result.get_value(row, column) or b"" for column in columns) for row in range(result.ntuples)]
    return Result(rows, result.command_tuples or 0)
