"""What the exceptions of our connections say about the server."""

import asyncio

import psycopg

from ..base import Failure
from ..sql_errors import Verdict, by_connect_message, by_sqlstate
from .connection import ConnectFailed
from .pipeline import ServerError


def verdict_on(alias: str, error: Exception) -> Verdict | None:
    """Return what an exception of a connection of ours says about the server; None if nothing."""
    if isinstance(error, ServerError):
        return by_sqlstate(alias, error.sqlstate, error.is_fatal)
    if isinstance(error, ConnectFailed):
        return by_connect_message(alias, str(error))
    if isinstance(error, psycopg.ProgrammingError):
        return Failure.MISTAKE, f"DATABASES[{alias!r}] has parameters that libpq does not know: {error}"
    if isinstance(error, psycopg.Error):
        return Failure.LOSS, "connection lost"
    return None


def is_unharmed(error: BaseException) -> bool:
    """Tell whether a connection can still be used after an exception."""
    if isinstance(error, ServerError):
        # Not after 25006: a server that has become a replica keeps connections, but a new one may find the primary.
        return not error.is_fatal and bool(error.sqlstate) and error.sqlstate != "25006"
    return isinstance(error, asyncio.CancelledError)
