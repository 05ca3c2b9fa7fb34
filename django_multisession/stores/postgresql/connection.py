"""Run statements over libpq, through psycopg.pq: one body for both colours.

psycopg's Connection and AsyncConnection will not do, for three reasons. After a cancelled task the latter asks the
server to cancel, and waits for that: a hung server would hold a request ten times as long as allowed. Connecting cannot
fail in less than 2 seconds. And psycopg numbers its prepared statements: behind a pooler that lends server connections
by transaction, a number may be another client's, and a read could run its DELETE. Ours are named after their own text.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from ... import deadline
from ...loop_time import within
from ...runtime import monotonic
from ..sockets import READ, WRITE
from .names import resolved
from .pipeline import ABORTED, ERROR, Result, Statement, Value, receive, result_of, send, sqlstate
from .waits import Steps, in_loop, on_thread

if TYPE_CHECKING:
    from psycopg.pq.abc import PGcancelConn, PGconn, PGresult

CANCEL_TIMEOUT: Final = 1.0
"""Seconds that a separate thread spends on asking a server to cancel a statement."""

_NOT_PREPARED: Final = (
    "26000",  # no such statement: a pooler has given us another server connection
    "42P05",  # it exists: another client of ours has prepared it on that connection
    "0A000",  # "cached plan must not change result type": the table was altered
)


class ConnectFailed(Exception):
    """No connection could be made. The message is libpq's, without the password."""


class Settings(NamedTuple):
    """How to connect, and how statements are run.

    ``parameters`` returns libpq's parameters, and is called for each connection. ``connect_timeout`` limits connecting,
    and ``timeout`` is the whole budget of a request, both in seconds. ``local`` is a statement, with its values, that
    sets limits and role for one transaction: behind a pooler, nothing may be set for longer.
    """

    parameters: Callable[[], Mapping[str, Any]]
    connect_timeout: float
    timeout: float
    prepare: bool
    local: tuple[Statement, Sequence[Value]] | None = None


class Client:
    """One connection, for one thread at a time, or for one event loop; it connects at its first statement.

    A statement, and what ``local`` sets for it, goes out as one pipeline, which is one transaction. A cancelled task
    leaves its exchange unfinished; is_usable() finishes it once the answer has arrived.
    """

    def __init__(self, settings: Settings, *, asynchronous: bool) -> None:
        self._settings = settings
        self._asynchronous = asynchronous
        self._prepare = settings.prepare
        self._seen: set[bytes] = set()
        self._prepared: set[bytes] = set()
        self._connection: PGconn | None = None
        self._connecting: Steps[PGconn] | None = None
        self._exchange: Steps[PGresult] | None = None

    async def execute(self, seconds: float, statement: Statement, values: Sequence[Value]) -> Result:
        """Run a statement as a transaction; connecting and the answer may each take so many seconds (TimeoutError).

        Raises ConnectFailed, ServerError, and psycopg.OperationalError for a lost connection.
        """
        connection = self._connection
        if connection is None or self._connecting is not None:
            connection = await self._connect(min(seconds, self._settings.connect_timeout))
            seconds = min(seconds, deadline.left(self._settings.timeout))
        self._exchange = exchange = self._run(connection, statement, values)
        if self._asynchronous:
            result = await within(in_loop(exchange), seconds)
        else:
            result = on_thread(exchange, seconds)
        self._exchange = None
        return result_of(result)

    def is_usable(self) -> bool:
        """Tell whether a statement can be run now, and not while the answer for a cancelled task is still to come."""
        if self._exchange is not None:
            try:
                next(self._exchange)
            except StopIteration:
                self._exchange = None
            except psycopg.Error:
                pass
        return self._exchange is None

    def close(self) -> None:
        """Close the connection without waiting; a server that is still busy with a statement is asked to cancel it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._exchange is None or pq.version() < 170000:
            connection.finish()
        else:
            threading.Thread(target=_cancel, args=(connection,), daemon=True).start()

    async def _connect(self, seconds: float) -> "PGconn":
        if self._asynchronous:
            connection = await within(self._connect_in_loop(seconds), seconds)
        else:
            started = monotonic()
            connecting = await self._start(seconds)
            connection = on_thread(connecting, seconds - (monotonic() - started))
        self._connecting = None
        return connection

    async def _connect_in_loop(self, seconds: float) -> "PGconn":
        connecting = self._connecting  # begun by a task that was cancelled
        return await in_loop(await self._start(seconds) if connecting is None else connecting)

    async def _start(self, seconds: float) -> "Steps[PGconn]":
        parameters = await resolved(self._settings.parameters(), seconds)
        self._connection = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
        self._connecting = _connecting(self._connection)
        return self._connecting

    def _run(self, connection: "PGconn", statement: Statement, values: Sequence[Value]) -> "Steps[PGresult]":
        # Not the first time: preparing would only cost a connection that serves a single request.
        is_prepared = self._prepare and statement.name in self._seen
        self._seen.add(statement.name)
        result = yield from self._pipeline(connection, statement, values, is_prepared)
        if is_prepared and sqlstate(result) in _NOT_PREPARED:
            self._prepare = False
            result = yield from self._pipeline(connection, statement, values, False)
        return result

    def _pipeline(
        self, connection: "PGconn", statement: Statement, values: Sequence[Value], is_prepared: bool
    ) -> "Steps[PGresult]":
        if self._settings.local is not None:
            send(connection, *self._settings.local)
        is_new = is_prepared and statement.name not in self._prepared
        if is_new:
            connection.send_prepare(statement.name, statement.numbered)
        send(connection, statement, values, is_prepared)
        connection.pipeline_sync()
        while connection.flush():
            yield connection.socket, READ | WRITE
            connection.consume_input()
        results = yield from receive(connection)
        if is_new and results[-1].status != ABORTED:
            self._prepared.add(statement.name)
        return (
            next((result for result in results if result.status == ERROR), results[-1]) if results[1:] else results[0]
        )


def _connecting(connection: "PGconn") -> "Steps[PGconn]":
    # libpq tries all hosts and addresses in turn.
    while (status := connection.connect_poll()) != pq.PollingStatus.OK:
        if status == pq.PollingStatus.FAILED:
            raise ConnectFailed(connection.get_error_message())
        yield connection.socket, READ if status == pq.PollingStatus.READING else WRITE
    connection.nonblocking = 1
    connection.enter_pipeline_mode()
    return connection


def _cancel(connection: "PGconn") -> None:
    # Cancel before the connection is closed: after that, a pooler no longer knows whose statement it was.
    try:
        cancelling = connection.cancel_conn()
        cancelling.start()
        on_thread(_cancelling(cancelling), CANCEL_TIMEOUT)
    except (psycopg.Error, TimeoutError):
        pass  # statement_timeout ends the statement
    finally:
        connection.finish()


def _cancelling(cancelling: "PGcancelConn") -> Steps[None]:
    while (status := cancelling.poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        yield cancelling.socket, READ if status == pq.PollingStatus.READING else WRITE
