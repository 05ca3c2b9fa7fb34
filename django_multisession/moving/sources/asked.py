"""How a source asks what keeps its sessions: within the request's budget, by a breaker, on the right thread.

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
    """What a source asks. Of a store it has call() and what that needs, and no records.

    ``look`` asks for a session that is not there; its exceptions tell what is wrong.
    """

    def __init__(self, name: str, timeout: float, look: Callable[[], object]) -> None:
        self._name = name
        self._look = look
        super().__init__(StoreOptions(timeout=timeout))

    @property
    def name(self) -> str:
        return self._name

    async def ask(self, query: Callable[[], T], *, again: Callable[[], T] | None = None) -> T:
        """Return what query returns; after a lost connection, what it or ``again`` returns on a new one."""
        try:
            return await self._once(query)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return await self._once(again or query)

    async def _once(self, query: Callable[[], T]) -> T:
        return await self.call(self._on_thread, query)

    async def _on_thread(self, seconds: float, query: Callable[[], T]) -> T:
        # The client's own limits, from Django's settings, bound it; `seconds` cannot.
        return await on_connection(query)

    async def probe(self, node: Any) -> None:
        """See Store.probe(). The limits of a client of Django's can be long."""
        await probe_on_a_thread(partial(_closing, self._look))


class AskedDatabase(Asked):
    """A table of the project's, on Django's connection and in its transactions."""

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
