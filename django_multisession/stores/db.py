"""Sessions in any database of the project: Django's ORM, connections and transactions."""

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from .aliases import APP, alias_of, create_table, on_connection
from .base import ABSENT_KEY, Failure, Inspection, Record, Store, StoreOptions
from .db_diagnosis import inspection
from .probing import probe_on_a_thread
from .shared import SharedConnection
from .table import Table

T = TypeVar("T")


class DatabaseStore(Store):
    """The table multisession_record of the database that LOCATION, a key of DATABASES, names.

    Each operation is one statement, inside the caller's transaction if there is one: a view that rolls it back also
    rolls back the session's changes. The connection is Django's, and its driver decides how long a statement may take:
    TIMEOUT only bounds whether a request may ask once more. Set the driver's limits in OPTIONS of DATABASES, or use
    the postgresql engine.

    SQLite writes one transaction at a time. In WAL mode reading goes on meanwhile, and a single statement, as all of
    these are, waits up to OPTIONS["timeout"] (5 s) for its turn. A transaction that has read before it writes does not
    wait but fails ("database is locked"): with ATOMIC_REQUESTS, OPTIONS["transaction_mode"] must be "IMMEDIATE".
    """

    scannable = True
    expires = False
    transactional = True

    def __init__(self, options: StoreOptions) -> None:
        if not apps.is_installed(APP):
            raise ImproperlyConfigured(f"The db engine needs {APP!r} in INSTALLED_APPS.")
        self.alias = alias_of(options)
        if options.options:
            raise ImproperlyConfigured(
                f"MULTISESSION: the db engine takes no OPTIONS; those of its connection belong "
                f"into DATABASES[{self.alias!r}]."
            )
        super().__init__(options)
        self._shared = SharedConnection(self.alias)
        self._table = Table(self.alias)

    @property
    def name(self) -> str:
        return f"DATABASES[{self.alias!r}]"

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """See Store.failure()."""
        return self._shared.verdict(error) or super().failure(error)

    async def probe(self, node: Any) -> None:
        """See Store.probe(). On a thread of its own: the driver's limits are too long for a probe."""
        await probe_on_a_thread(partial(_probe, self.alias))

    async def _run(self, query: Callable[[], T]) -> T:
        return await self._shared.run(self, query)

    async def read(self, key: str) -> Record | None:
        return await self._run(partial(self._table.read, key))

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        return version if await self._run(partial(self._table.insert, key, payload, ttl)) else None

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        return version if await self._run(partial(self._table.replace, key, payload, ttl, expected)) else None

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        await self._run(partial(self._table.put, key, payload, ttl))

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        return await self._run(partial(self._table.delete, key, expected))

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await self._run(partial(self._table.delete_many, keys))

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return await self._run(partial(self._table.exists, keys))

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        while removed := await self._run(partial(self._table.purge, batch_size)):
            yield removed

    async def expired(self) -> int:
        return await self._run(self._table.expired)

    async def scan(self) -> AsyncIterator[str]:
        last = ""
        while keys := await self._run(partial(self._table.keys_after, last)):
            for last in keys:
                yield last

    async def inspect(self) -> Inspection:
        return await self._run(partial(inspection, self.alias))

    async def prepare(self) -> None:
        """Run this app's migrations on the alias."""
        await on_connection(partial(create_table, self.alias))


def _probe(alias: str) -> None:
    connection: Any = connections[alias].copy()
    # A new connection, and none of a pool; with a limit for connecting, so that its thread ends.
    options = {key: value for key, value in connection.settings_dict["OPTIONS"].items() if key != "pool"}
    if connection.vendor in ("postgresql", "mysql"):
        options["connect_timeout"] = 2
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM multisession_record WHERE key = %s", [ABSENT_KEY])
    finally:
        connection.close()
