"""Where the registry's tables are, and how they are asked: on Django's own connection, in both colours."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connections, router, transaction

from ..exceptions import StoreUnavailable
from ..stores.aliases import on_connection
from ..stores.sql_errors import by_exception
from .models import RegisteredSession

T = TypeVar("T")


def alias() -> str:
    """Return the key of DATABASES that the registry is written to."""
    return router.db_for_write(RegisteredSession)


def in_transaction() -> bool:
    """Tell whether the caller is in a transaction, which may be rolled back."""
    return connections[alias()].in_atomic_block


def by_itself() -> AbstractContextManager[Any]:
    """Return what keeps a statement that fails from spoiling the caller's transaction, if there is one."""
    return transaction.atomic(alias()) if in_transaction() else nullcontext()


async def ask(query: Callable[[], T]) -> T:
    """Return what a query returns; StoreUnavailable if the database does not answer."""
    try:
        return await on_connection(query)
    except (OperationalError, InterfaceError) as error:
        name = alias()
        verdict = by_exception(name, error)
        reason = type(error).__name__ if verdict is None else verdict[1]
        raise StoreUnavailable(f"DATABASES[{name!r}]", reason) from error


def at(timestamp: float) -> datetime:
    """Return seconds since 1970 as a point in time."""
    return datetime.fromtimestamp(timestamp, UTC)
