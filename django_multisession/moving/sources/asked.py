"""Ask the server that keeps a source's sessions: with a time budget, a circuit breaker, and on the right thread.

Django's connections belong to the thread that has opened them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.db import connections

from ...exceptions import StoreUnavailable
from ...stores.aliases import on_connection, table_is_missing
from ...stores.base import Failure, Store, StoreOptions
from ...stores.probing import probe_on_a_thread
from ...stores.shared import SharedConnection

T = TypeVar("T")


class Asked(Store):
    """The server of a source. Of a Store it has call() and what that needs, but no records.

    ``look`` asks for a session that does not exist; its exceptions tell what is wrong.
    """

    def __init__(self, name: str, timeout: float, look: Callable[[], object]) -> None:
        self._name = name
        self._look = look
        super().__init__(StoreOptions(timeout=timeout))

    @property
    def name(self) -> str:
        return self._name

    async def ask(self, query: Callable[[], T], *, again: Callable[[], T] | None = None) -> T:
        """Return what query returns; after a lost connection, call it again, or ``again`` instead."""
        try:
            return await self._once(query)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return await self._once(again or query)

    async def _once(self, query: Callable[[], T]) -> T:
        return await self.call(self._on_thread, query)

    async def _on_thread(self, seconds: float, query: Callable[[], T]) -> T:
        # `seconds` cannot limit it; the client's own limits, from Django's settings, do.
        return await on_connection(query)

    async def probe(self, node: Any) -> None:
        """See Store.probe(). On a thread of its own, since the clients' limits may be too long."""
        await probe_on_a_thread(partial(_closing, self._look))


class AskedDatabase(Asked):
    """A table of the project, on Django's connection and in its transactions."""

    def __init__(self, alias: str, table: str, timeout: float, look: Callable[[], object]) -> None:
        super().__init__(f"{table} of DATABASES[{alias!r}]", timeout, look)
        self._shared = SharedConnection(alias)
        self._missing = (
            f"the table {table} is missing from DATABASES[{alias!r}]. Does FALLBACK name the engine that was in use?"
        )

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """See Store.failure()."""
        if table_is_missing(error):
            return Failure.MISTAKE, self._missing
        return self._shared.verdict(error) or super().failure(error)

    async def _once(self, query: Callable[[], T]) -> T:
        return await self._shared.run(self, query)


def _closing(look: Callable[[], object]) -> None:
    try:
        look()
    finally:
        connections.close_all()  # of this thread
