"""Run a store's queries on Django's own connection, inside the project's transactions."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections

from .aliases import on_connection
from .base import Failure, Store
from .sql_errors import Verdict, by_exception

T = TypeVar("T")


class LostInTransaction(Exception):
    """The connection was lost inside a transaction, and with it the transaction's earlier statements."""


class SharedConnection:
    """Runs queries of a store on Django's connection of an alias."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    async def run(self, store: Store, query: Callable[[], T]) -> T:
        """Return what query returns; raises as Store.call() does.

        Inside of a transaction the connection stays open, nothing is tried again, and a refusal is raised as the
        database's own error, for the code that can repeat the transaction.
        """
        answer: T | Refused = await store.call(self._ask, query)
        if isinstance(answer, Refused):
            raise answer.error
        return answer

    def verdict(self, error: Exception) -> Verdict | None:
        """Return what an exception of run()'s query says about the server; None if nothing."""
        if isinstance(error, LostInTransaction):
            return Failure.SILENCE, str(error)  # and no LOSS, which would be tried again
        return by_exception(self.alias, error)

    async def _ask(self, seconds: float, query: Callable[[], T]) -> "T | Refused":
        # `seconds` cannot bound it; the driver's own limits do.
        return await on_connection(partial(self._attempt, query))

    def _attempt(self, query: Callable[[], T]) -> "T | Refused":
        connection: Any = connections[self.alias]
        try:
            return query()
        except (DatabaseError, InterfaceError) as error:
            if not connection.in_atomic_block:
                # Django does so at the end of the request, which is too late for a second attempt.
                connection.close_if_unusable_or_obsolete()
                raise
            verdict = by_exception(self.alias, error)
            if verdict is None or verdict[0] is Failure.REFUSAL:
                return Refused(error)
            if verdict[0] is Failure.LOSS:
                raise LostInTransaction(verdict[1]) from error
            raise


class Refused:
    """An answer that refuses a statement inside of a transaction."""

    def __init__(self, error: Exception) -> None:
        self.error = error
