"""Send statements through libpq's pipeline, and receive their results."""

import hashlib
import re
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg
from psycopg import pq

from ...reprs import shown_as
from ..sockets import READ
from .waits import Steps

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

Value = str | bytes | int | float | bool | Sequence[str]

# As constants, since looking up a member of an enumeration takes as long as ten comparisons.
_TEXT: Final = pq.Format.TEXT
_BINARY: Final = pq.Format.BINARY
_SYNC: Final = int(pq.ExecStatus.PIPELINE_SYNC)
ABORTED: Final = int(pq.ExecStatus.PIPELINE_ABORTED)
ERROR: Final = int(pq.ExecStatus.FATAL_ERROR)
_OK: Final = (int(pq.ExecStatus.TUPLES_OK), int(pq.ExecStatus.COMMAND_OK))
_BAD: Final = int(pq.ConnStatus.BAD)
_FATAL: Final = ("FATAL", "PANIC")


class ServerError(Exception):
    """A statement failed; the message is the server's code alone.

    ``sqlstate`` is empty if the connection was lost, and ``is_fatal`` tells that it has been closed.
    """

    def __init__(self, sqlstate: str, is_fatal: bool) -> None:
        super().__init__(sqlstate, is_fatal)
        self.sqlstate = sqlstate
        self.is_fatal = is_fatal

    def __str__(self) -> str:
        return f"SQLSTATE {self.sqlstate}" if self.sqlstate else "connection lost"


class Statement:
    """A statement, in two forms: ``sql`` with %s, for Django's cursors, and ``numbered`` with $1, $2 …, for the server.

    It must return only text or bytea, which need no conversion.
    """

    __slots__ = ("name", "numbered", "sql")

    def __init__(self, sql: str) -> None:
        self.sql = sql
        number = count(1)
        self.numbered = re.sub("%s", lambda _: f"${next(number)}", sql).encode()
        digest = hashlib.blake2s(self.numbered, digest_size=8).hexdigest()
        self.name = f"multisession_{digest}".encode()


@shown_as(lambda result: f"{len(result.rows)} rows")
class Result(NamedTuple):
    """The rows that a statement returned, and how many rows it returned or changed."""

    rows: list[tuple[bytes, ...]]
    affected: int


def send(connection: "PGconn", statement: Statement, values: Sequence[Value], is_prepared: bool = False) -> None:
    """Put a statement with its values into the pipeline."""
    parameters = [value if isinstance(value, bytes) else _encode(value) for value in values]
    formats = [_BINARY if isinstance(value, bytes) else _TEXT for value in values]
    if is_prepared:
        connection.send_query_prepared(statement.name, parameters, formats, _BINARY)
    else:
        connection.send_query_params(statement.numbered, parameters, None, formats, _BINARY)


def receive(connection: "PGconn") -> "Steps[list[PGresult]]":
    """Receive the results of the pipeline: None ends those of one statement, and a sync result ends all of them."""
    results: list[PGresult] = []
    while True:
        while connection.is_busy():
            yield connection.socket, READ
            try:
                connection.consume_input()
            except psycopg.OperationalError:
                if results:  # the server has said why it closes the connection
                    return results
                raise
        result = connection.get_result()
        if result is not None:
            if result.status == _SYNC:
                break
            results.append(result)
        elif connection.status == _BAD:
            break
    if not results:
        raise psycopg.OperationalError("the connection is closed")
    return results


def _encode(value: str | int | float | Sequence[str]) -> bytes:
    if isinstance(value, str | int | float):
        return str(value).encode()
    return f"{{{','.join(value)}}}".encode()  # storage keys, which need no quotes


def sqlstate(result: "PGresult") -> str:
    """Return the code of a failed result; empty if the server has sent none."""
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


def result_of(result: "PGresult") -> Result:
    """Return the rows of a result; ServerError if the statement failed."""
    if result.status not in _OK:
        severity = (result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) or b"FATAL").decode()
        raise ServerError(sqlstate(result), severity in _FATAL)
    columns = range(result.nfields)
    rows = [tuple([result.get_value(row, column) or b"" for column in columns]) for row in range(result.ntuples)]
    return Result(rows, result.command_tuples or 0)
