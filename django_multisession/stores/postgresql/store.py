"""Sessions in PostgreSQL, over the store's own connections: one round trip for each operation."""

import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from ... import deadline
from ...breaker import PROBE_TIMEOUT
from ...bridge import native_loop
from ...envelope import VERSION, is_session
from ..aliases import alias_of, create_table, on_connection, postgresql_problems
from ..base import ABSENT_KEY, LONGEST_TTL, Failure, Inspection, Record, Store, StoreOptions
from ..limits import ConcurrencyLimit, ThreadLimit
from ..pools import MAX_IDLE, LoopLocal, Pool
from ..shared import SharedConnection
from ..wording import wrong_location

try:
    from psycopg import pq

    from . import statements as sql
    from .connection import Client, Settings
    from .diagnosis import is_unharmed, verdict_on
    from .parameters import connection_parameters, local_settings
    from .pipeline import Result, Statement, Value
except ImportError as error:
    raise ImproperlyConfigured(
        'The postgresql engine needs psycopg 3: pip install "django_multisession[postgresql]".'
    ) from error

LIBPQ = 140000
"""The oldest libpq that has pipelines, as pq.version() returns it."""
MAX_CONNECTIONS = 10
PAGES_A_STEP = 256
"""How many pages of the table one statement of purge() reads: 2 MB at the usual 8 kB a page."""

OPTIONS = ("connection", "max_connections", "max_idle", "pooler", "prepare")


class Lane(NamedTuple):
    """The connections of all threads, or of an event loop."""

    pool: Pool[Client]
    slots: ThreadLimit | ConcurrencyLimit

    async def aclose(self) -> None:
        await self.pool.aclose()


def in_test_environment() -> bool:
    """Tell whether setup_test_environment() was called, without importing django.test for it."""
    # mail.outbox would not tell: the locmem backend creates it outside of tests too.
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


class PostgreSQLStore(Store):
    """A table of a PostgreSQL database that DATABASES names, over psycopg 3.

    LOCATION is a key of DATABASES. The connections are the store's own, in autocommit: the session is kept when a view
    rolls back, and a hung server holds a view no longer than TIMEOUT. OPTIONS:

    - ``"max_connections"``: at most so many for all threads of a process, and for each event loop (default 10).
    - ``"max_idle"``: seconds after which an idle connection is not used again (default 240).
    - ``"pooler"``: ``"transaction"`` behind a pooler that lends server connections by transaction, such as PgBouncer.
      Limits and role are then set for each transaction, in the same round trip, and never for a connection.
    - ``"prepare"``: use prepared statements (default True, behind a pooler False).
    - ``"connection"``: ``"own"``, or ``"shared"`` for Django's connection and its transactions. The default is own, but
      shared in Django's test environment: there TestCase rolls sessions back.
    """

    scannable = True
    expires = False

    def __init__(self, options: StoreOptions) -> None:
        self.alias = alias_of(options)
        vendor = connections[self.alias].vendor
        if vendor != "postgresql":
            raise wrong_location(
                self.alias, f"a key of DATABASES whose ENGINE is PostgreSQL, not {vendor}. The db engine takes any"
            )
        unknown = options.options.keys() - set(OPTIONS)
        if unknown:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS of the postgresql engine may hold {', '.join(map(repr, OPTIONS))}, "
                f"not {', '.join(map(repr, sorted(unknown)))}. "
                f"What libpq takes belongs in OPTIONS of DATABASES[{self.alias!r}]."
            )
        if pq.version() < LIBPQ:
            raise ImproperlyConfigured(
                f"The postgresql engine needs libpq {LIBPQ // 10000}; psycopg has found {pq.version() // 10000}. "
                "One that is new enough comes with psycopg[binary]."
            )
        pooler = _option(options, "pooler", None, ("transaction",))
        self._connection = _option(options, "connection", None, ("own", "shared"))
        size = options.options.get("max_connections", MAX_CONNECTIONS)
        if type(size) is not int or size < 1:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['max_connections'] must be a whole number, 1 or more; it is {size!r}."
            )
        max_idle = options.options.get("max_idle", MAX_IDLE)
        if type(max_idle) not in (int, float) or max_idle <= 0:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['max_idle'] must be a number of seconds above 0; it is {max_idle!r}."
            )
        super().__init__(options)
        self._shared = SharedConnection(self.alias)
        self._settings = Settings(
            parameters=partial(connection_parameters, self.alias, options, startup=pooler is None),
            connect_timeout=options.connect_timeout,
            timeout=options.timeout,
            prepare=_option(options, "prepare", pooler is None, (True, False)),
            local=None if pooler is None else local_settings(self.alias, options),
        )
        self._threads = Lane(self._pool(False, max_idle), ThreadLimit(size, self.name))
        self._loops: LoopLocal[Lane] = LoopLocal(
            lambda: Lane(self._pool(True, max_idle), ConcurrencyLimit(size, self.name)), Lane.aclose
        )

    @property
    def name(self) -> str:
        return f"DATABASES[{self.alias!r}]"

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """See Store.failure()."""
        verdict = verdict_on(self.alias, error) or self._shared.verdict(error) or super().failure(error)
        if isinstance(error, socket.gaierror) and verdict is not None and verdict[0] is Failure.MISTAKE:
            return Failure.MISTAKE, f"there is no host of this name. Correct HOST of DATABASES[{self.alias!r}]."
        return verdict

    async def probe(self, node: Any) -> None:
        """See Store.probe()."""
        settings = self._settings._replace(connect_timeout=PROBE_TIMEOUT, timeout=PROBE_TIMEOUT)
        client = Client(settings, asynchronous=native_loop() is not None)
        try:
            await client.execute(PROBE_TIMEOUT, sql.READ, (ABSENT_KEY,))
        finally:
            client.close()

    def _pool(self, asynchronous: bool, max_idle: float) -> Pool[Client]:
        connect = partial(Client, self._settings, asynchronous=asynchronous)
        return Pool(connect, Client.close, is_unharmed, max_idle, Client.is_usable)

    @property
    def transactional(self) -> bool:  # type: ignore[override]  # a test environment is set up after the store is made
        return self._connection == "shared" or (self._connection is None and in_test_environment())

    async def _run(self, statement: Statement, *values: Value) -> Result:
        if self.transactional:
            return await self._shared.run(self, partial(self._on_djangos, statement, values))
        loop = native_loop()
        lane = self._threads if loop is None else self._loops.get(loop)
        await lane.slots.acquire(deadline.left(self.options.timeout))
        try:
            return await self.call(_ask, lane.pool, statement, values)
        finally:
            lane.slots.release()

    def _on_djangos(self, statement: Statement, values: Sequence[Any]) -> Result:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(statement.sql, values)
            rows = cursor.fetchall() if cursor.description else []
            return Result(
                [tuple(v.encode() if isinstance(v, str) else bytes(v) for v in row) for row in rows], cursor.rowcount
            )

    async def read(self, key: str) -> Record | None:
        rows = (await self._run(sql.READ, key)).rows
        return Record(*rows[0]) if rows else None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        values = key, version, payload, is_session(payload), min(ttl, LONGEST_TTL)
        return version if (await self._run(sql.INSERT, *values)).affected else None

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        values = version, payload, is_session(payload), min(ttl, LONGEST_TTL), key, expected
        return version if (await self._run(sql.REPLACE, *values)).affected else None

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        await self._run(sql.END, key, payload[VERSION], payload, is_session(payload), min(ttl, LONGEST_TTL))

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        if expected is None:
            return bool((await self._run(sql.DELETE, key)).affected)
        return bool((await self._run(sql.DELETE_VERSION, key, expected)).affected)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return (await self._run(sql.DELETE_MANY, list(keys))).affected

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return {row[0].decode() for row in (await self._run(sql.EXISTS, list(keys))).rows}

    async def _ranges(self) -> AsyncIterator[tuple[str, str]]:
        pages = int((await self._run(sql.PAGES)).rows[0][0])
        for first in range(0, pages, PAGES_A_STEP):
            yield f"({first},0)", f"({first + PAGES_A_STEP},0)"

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        """Remove expired records in batches; see Store.purge().

        Each statement reads a few pages of the table, in their order on disk. It is a transaction of its own and locks
        only what it removes, so no index is needed, and no lock is held for long.
        """
        async for first, last in self._ranges():
            removed = batch_size
            while removed == batch_size:
                removed = (await self._run(sql.PURGE, first, last, batch_size)).affected
                if removed:
                    yield removed

    async def expired(self) -> int:
        counts = [(await self._run(sql.EXPIRED, *pages)).rows async for pages in self._ranges()]
        return sum(int(rows[0][0]) for rows in counts)

    async def scan(self) -> AsyncIterator[str]:
        # By key, and not by ctid: an update moves a row.
        last = ""
        while rows := (await self._run(sql.SCAN, last)).rows:
            for row in rows:
                last = row[0].decode()
                yield last

    async def inspect(self) -> Inspection:
        row = [value.decode() for value in (await self._run(sql.INSPECT)).rows[0]]
        return Inspection(row[0], float(row[1]), postgresql_problems(self.alias, row))

    async def prepare(self) -> None:
        """Run this app's migrations on the alias, over Django's own connection."""
        await on_connection(partial(create_table, self.alias))

    def close(self) -> None:
        self._threads.pool.close()


def _ask(seconds: float, pool: Pool[Client], statement: Statement, values: Sequence[Value]) -> Awaitable[Result]:
    return pool.use(Client.execute, seconds, statement, values)


def _option(options: StoreOptions, name: str, default: Any, allowed: tuple[Any, ...]) -> Any:
    value = options.options.get(name, default)
    if value is not default and value not in allowed:
        raise ImproperlyConfigured(
            f"MULTISESSION: OPTIONS[{name!r}] must be one of {', '.join(map(repr, allowed))}; it is {value!r}."
        )
    return value
