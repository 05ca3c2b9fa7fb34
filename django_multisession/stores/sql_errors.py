"""What the errors of SQL databases say about the server: by SQLSTATE, by MySQL's numbers, by SQLite's texts.

Sources: PostgreSQL manual, appendix A; MySQL server and client error references; sqlite.org/rescode.html. A server's
own text is never shown: it may hold a key or a value.
"""

from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError

from .aliases import UNDEFINED_TABLE, missing_table, table_is_missing
from .base import Failure

Verdict = tuple[Failure, str]

# {alias} is the entry of DATABASES.
_READ_ONLY: Final = "it is read-only: DATABASES[{alias!r}] must name the primary"
_ISOLATION: Final = (
    "the session changed since this transaction began, which its isolation level forbids to see. "
    "Set OPTIONS of DATABASES[{alias!r}] to READ COMMITTED"
)
_LOST: Final = "connection lost"
_LOCKED: Final = "the row was locked for too long"
_DEADLOCK: Final = "a deadlock was resolved against this call"
_DENIED: Final = "USER of DATABASES[{alias!r}] needs SELECT, INSERT, UPDATE and DELETE on multisession_record"
_LOGIN: Final = "it refuses the login. Correct USER and PASSWORD of DATABASES[{alias!r}]."
_DATABASE: Final = "there is no such database. Correct NAME of DATABASES[{alias!r}]."

_SQLSTATE: Final = {
    "25006": (Failure.REFUSAL, _READ_ONLY),
    "28000": (Failure.MISTAKE, _LOGIN),
    "28P01": (Failure.MISTAKE, _LOGIN),
    "3D000": (Failure.MISTAKE, _DATABASE),
    "40001": (Failure.REFUSAL, _ISOLATION),
    "40P01": (Failure.REFUSAL, _DEADLOCK),
    "42501": (Failure.REFUSAL, _DENIED),
    "53100": (Failure.REFUSAL, "its disk is full"),
    "53200": (Failure.REFUSAL, "it is out of memory"),
    "53300": (Failure.LOSS, "it has too many connections: raise max_connections, or lower OPTIONS['max_connections']"),
    "55P03": (Failure.REFUSAL, _LOCKED),
    "57014": (Failure.REFUSAL, "the statement took too long, or was cancelled"),
    "57P01": (Failure.LOSS, "the server shut down, or an administrator ended the connection"),
    "57P02": (Failure.LOSS, "the server crashed"),
    "57P03": (Failure.LOSS, "the server is starting or stopping"),
}

PACKET_TOO_LARGE: Final = 1153
SERVER_GONE: Final = (2006, 2013)
"""MySQL's numbers for a lost connection."""

_MYSQL: Final = {
    1020: (Failure.REFUSAL, _ISOLATION),
    1021: (Failure.REFUSAL, "its disk is full"),
    1040: (Failure.LOSS, "it has too many connections"),
    1044: (Failure.MISTAKE, _LOGIN),
    1045: (Failure.MISTAKE, _LOGIN),
    1049: (Failure.MISTAKE, _DATABASE),
    1053: (Failure.LOSS, "the server is shutting down"),
    1142: (Failure.REFUSAL, _DENIED),
    PACKET_TOO_LARGE: (Failure.REFUSAL, "the session is larger than its max_allowed_packet"),
    1205: (Failure.REFUSAL, _LOCKED),
    1213: (Failure.REFUSAL, _DEADLOCK),
    1290: (Failure.REFUSAL, _READ_ONLY),
    1792: (Failure.REFUSAL, _READ_ONLY),
    1836: (Failure.REFUSAL, _READ_ONLY),
    1927: (Failure.LOSS, "an administrator ended the connection"),
}
_MYSQL_CLIENT: Final = range(2000, 3000)
"""Errors of the client library, nearly all of which say that there is no connection, or none any more."""

_SQLITE: Final = (
    ("locked", Failure.REFUSAL, "another connection is writing. Set 'timeout' of OPTIONS of DATABASES[{alias!r}], and "
     "'transaction_mode': 'IMMEDIATE'"),
    ("readonly database", Failure.REFUSAL, "the file, or its directory, may not be written to"),
    ("disk is full", Failure.REFUSAL, "the disk is full"),
    ("unable to open database file", Failure.LOSS, "the file cannot be opened"),
)  # fmt: skip

_CONNECTING: Final = (
    ("password authentication failed", *_SQLSTATE["28P01"]),
    ("no password supplied", *_SQLSTATE["28P01"]),
    ("no pg_hba.conf entry", *_SQLSTATE["28000"]),
    ("role ", *_SQLSTATE["28000"]),
    ("no such user", *_SQLSTATE["28000"]),  # PgBouncer
    ("no such database", *_SQLSTATE["3D000"]),  # PgBouncer
    ("database ", *_SQLSTATE["3D000"]),
    (
        "unsupported startup parameter",
        Failure.MISTAKE,
        "it is a pooler that allows no startup options. Set OPTIONS of the session's entry to "
        "{{'pooler': 'transaction'}}.",
    ),
    ("too many clients", *_SQLSTATE["53300"]),
    ("connection slots are reserved", *_SQLSTATE["53300"]),
    ("too many connections", *_SQLSTATE["53300"]),
)
"""Texts of a failed login, for which libpq has no SQLSTATE. In another language it counts as a lost connection."""


def by_sqlstate(alias: str, sqlstate: str, is_fatal: bool = False) -> Verdict:
    """Return what an error of PostgreSQL means; without a code, or if it is fatal, the connection is lost."""
    if not sqlstate:
        return Failure.LOSS, _LOST
    if sqlstate == UNDEFINED_TABLE:
        return Failure.MISTAKE, missing_table(alias)
    kind, text = _SQLSTATE.get(sqlstate, (Failure.REFUSAL, "the statement failed"))
    if sqlstate.startswith("08"):
        # PgBouncer's 08P01, too: it has lost its server, or cannot log in there.
        kind, text = Failure.LOSS, _LOST
    elif is_fatal and kind is not Failure.MISTAKE:
        kind = Failure.LOSS
    return kind, f"{text.format(alias=alias)} (SQLSTATE {sqlstate})"


def by_connect_message(alias: str, message: str) -> Verdict:
    """Return what libpq's message about a failed connection means."""
    refused = message.partition("FATAL:")[2] or message
    for words, kind, text in _CONNECTING:
        if words in refused and (words[-1] != " " or "does not exist" in refused):
            return kind, text.format(alias=alias)
    return Failure.LOSS, " ".join(message.split())


def by_exception(alias: str, error: Exception) -> Verdict | None:
    """Return what an exception that Django has wrapped says about the server; None if nothing."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return None
    cause = error.__cause__ or error
    if table_is_missing(error):
        return Failure.MISTAKE, missing_table(alias)
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if sqlstate:
        return by_sqlstate(alias, sqlstate)
    code = number_of(error)
    if code is not None:
        return _by_number(alias, code)
    return _by_words(alias, error, str(cause), type(cause).__name__)


def _by_number(alias: str, code: int) -> Verdict:
    if code in _MYSQL_CLIENT:
        return Failure.LOSS, f"{_LOST} (error {code})"
    kind, text = _MYSQL.get(code, (Failure.REFUSAL, "the statement failed"))
    return kind, f"{text.format(alias=alias)} (error {code})"


def _by_words(alias: str, error: Exception, message: str, name: str) -> Verdict | None:
    for words, kind, text in _SQLITE:
        if words in message:
            return kind, text.format(alias=alias)
    if name == "PoolTimeout":  # of psycopg's pool
        return Failure.REFUSAL, f"all connections of the pool in OPTIONS of DATABASES[{alias!r}] are in use"
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    return by_connect_message(alias, message) if "connection" in message else (Failure.LOSS, name)


def number_of(error: Exception) -> int | None:
    """Return MySQL's number of an error; None for another database's error."""
    cause = error.__cause__ or error
    code = cause.args[0] if cause.args else None
    return code if isinstance(code, int) else None
