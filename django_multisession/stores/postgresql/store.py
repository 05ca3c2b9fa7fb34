"""Sessions in PostgreSQL, over connections of their own: one round trip an operation."""

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connections

from ...bridge import native_loop
from ..aliases import (
    INSPECT_POSTGRESQL,
    LONGEST_TTL,
    alias_of,
    create_table,
    missing_table,
    on_connection,
    postgresql_problems,
    table_is_missing,
)
from ..base import Inspection, Record, Store, StoreOptions
from ..pools import AsyncFreeList, FreeList, LoopLocal

try:
    import psycopg

    from .connection import AnswerTimeout, Client, Result, Statement, Value
except ImportError as error:
    raise ImproperlyConfigured(
        'The postgresql engine needs psycopg 3. Run: python -m pip install "django_multisession[postgresql]"'
    ) from error

# statement_timestamp(), not now(): in a long transaction, such as a TestCase, now() stands still.
READ = Statement(
    "SELECT payload, version FROM multisession_record WHERE key = %s AND expires_at > statement_timestamp()"
)
INSERT = Statement(
    "INSERT INTO multisession_record AS taken (key, version, payload, expires_at)"
    " VALUES (%s, %s, %s, statement_timestamp() + make_interval(secs => %s))"
    " ON CONFLICT (key) DO UPDATE"
    " SET version = excluded.version, payload = excluded.payload, expires_at = excluded.expires_at"
    " WHERE taken.expires_at <= statement_timestamp()"
)
REPLACE = Statement(
    "UPDATE multisession_record SET version = %s, payload = %s,"
    " expires_at = statement_timestamp() + make_interval(secs => %s)"
    " WHERE key = %s AND version = %s AND expires_at > statement_timestamp()"
)
DELETE = Statement("DELETE FROM multisession_record WHERE key = %s AND expires_at > statement_timestamp()")
DELETE_VERSION = Statement(
    "DELETE FROM multisession_record WHERE key = %s AND version = %s AND expires_at > statement_timestamp()"
)
DELETE_MANY = Statement("DELETE FROM multisession_record WHERE key = ANY(%s) AND expires_at > statement_timestamp()")
EXISTS = Statement("SELECT key FROM multisession_record WHERE key = ANY(%s) AND expires_at > statement_timestamp()")
SCAN = Statement(
    "SELECT key FROM multisession_record WHERE key > %s AND expires_at > statement_timestamp() ORDER BY key LIMIT 1000"
)
PAGES = Statement("SELECT (pg_relation_size('multisession_record') / current_setting('block_size')::int)::text")
# The condition stands twice: a row may be taken anew while the statement waits for its lock.
PURGE = Statement(
    "DELETE FROM multisession_record WHERE expires_at <= statement_timestamp()"
    " AND ctid = ANY(ARRAY(SELECT ctid FROM multisession_record"
    " WHERE ctid >= %s::tid AND ctid < %s::tid AND expires_at <= statement_timestamp() LIMIT %s))"
)
EXPIRED = Statement(
    "SELECT count(*)::text FROM multisession_record"
    " WHERE ctid >= %s::tid AND ctid < %s::tid AND expires_at <= statement_timestamp()"
)
INSPECT = Statement(INSPECT_POSTGRESQL)

# How much of the table a statement of the purge reads: 2 MB at the usual 8 kB a page.
PAGES_A_STEP = 256
MAX_CONNECTIONS = 10

# What Django and psycopg take beside libpq's own parameters.
_NOT_LIBPQ = ("context", "cursor_factory", "prepare_threshold", "row_factory", "autocommit")


def in_test_environment() -> bool:
    """Tell whether setup_test_environment() was called, without importing django.test for it."""
    # mail.outbox tells less: the locmem backend makes it anywhere.
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


class PostgreSQLStore(Store):
    """A table of a PostgreSQL database that DATABASES names, over psycopg 3.

    LOCATION is a key of DATABASES. The connections are the store's own, in autocommit: what a view
    rolls back leaves the session alone, and a hung server holds it no longer than TIMEOUT. OPTIONS:

    - ``"prepare"``: use prepared statements (default True). They are safe behind a pooler, but
      behind one that lends connections by transaction and knows no prepared statements they only
      cost round trips: False.
    - ``"max_connections"``: at most so many an event loop (default 10). Threads have no more than
      calls at the same time.
    - ``"connection"``: ``"own"``, or ``"shared"`` for Django's connection and its transactions. The
      default is own, but shared in Django's test environment: there TestCase rolls sessions back.
    """

    scannable = True
    expires = False
    outages = (
        OSError,
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.ReadOnlySqlTransaction,  # the primary became a replica
        OperationalError,
        InterfaceError,
    )
    timeouts = (TimeoutError, AnswerTimeout)

    def __init__(self, options: StoreOptions) -> None:
        self.alias = alias_of(options)
        vendor = connections[self.alias].vendor
        if vendor != "postgresql":
            raise ImproperlyConfigured(
                f"MULTISESSION: LOCATION of the postgresql engine must be a key of DATABASES whose "
                f"ENGINE is PostgreSQL; {self.alias!r} is {vendor}. The db engine takes any."
            )
        prepare = _option(options, "prepare", True, (True, False))
        self._connection = _option(options, "connection", None, ("own", "shared"))
        size = options.options.get("max_connections", MAX_CONNECTIONS)
        if type(size) is not int or size < 1:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['max_connections'] must be a whole number, 1 or more; it is {size!r}."
            )
        unknown = options.options.keys() - {"prepare", "connection", "max_connections"}
        if unknown:
            raise ImproperlyConfigured(
                "MULTISESSION: OPTIONS of the postgresql engine may hold 'connection', "
                f"'max_connections' and 'prepare', not {', '.join(map(repr, sorted(unknown)))}. "
                f"What libpq takes belongs into OPTIONS of DATABASES[{self.alias!r}]."
            )
        super().__init__(options)
        client = partial(Client, self._parameters, options.connect_timeout, prepare=prepare)
        self._clients = FreeList(partial(client, asynchronous=False), Client.close)
        self._loops: LoopLocal[AsyncFreeList[Client]] = LoopLocal(
            lambda: AsyncFreeList(partial(client, asynchronous=True), Client.aclose, size, self.name),
            AsyncFreeList.close,
        )

    @property
    def name(self) -> str:
        return f"DATABASES[{self.alias!r}]"

    def _parameters(self) -> dict[str, Any]:
        # Asked at each connect: a test runner changes the database's name, a secret may rotate.
        connection = connections[self.alias]
        parameters = connection.get_connection_params()
        role = connection.settings_dict["OPTIONS"].get("assume_role")
        known = {key: value for key, value in parameters.items() if key not in _NOT_LIBPQ}
        return {**known, "assume_role": role} if role else known

    async def _run(self, statement: Statement, *values: Value) -> Result:
        try:
            if self._connection == "shared" or (self._connection is None and in_test_environment()):
                return await on_connection(partial(self._share, statement, values))
            loop = native_loop()
            if loop is None:
                return await self._run_here(statement, values)
            async with self._loops.get(loop).lease(self.options.timeout) as client:
                with self.guard() as seconds:
                    return await client.execute(statement, values, seconds)
        except Exception as error:
            if table_is_missing(error):
                raise missing_table(self.alias) from error
            raise

    async def _run_here(self, statement: Statement, values: Sequence[Value]) -> Result:
        with self.guard() as seconds:
            client = self._clients.take()
            try:
                result = await client.execute(statement, values, seconds)
            except BaseException:
                self._clients.discard(client)
                raise
            self._clients.give_back(client)
            return result

    def _share(self, statement: Statement, values: Sequence[Any]) -> Result:
        with self.guard(), connections[self.alias].cursor() as cursor:
            cursor.execute(statement.sql, values)
            rows = cursor.fetchall() if cursor.description else []
            return Result(
                [tuple(v.encode() if isinstance(v, str) else bytes(v) for v in row) for row in rows],
                cursor.rowcount,
            )

    async def read(self, key: str) -> Record | None:
        rows = (await self._run(READ, key)).rows
        return Record(*rows[0]) if rows else None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        result = await self._run(INSERT, key, version, payload, min(ttl, LONGEST_TTL))
        return version if result.affected else None

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        result = await self._run(REPLACE, version, payload, min(ttl, LONGEST_TTL), key, expected)
        return version if result.affected else None

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        if expected is None:
            return bool((await self._run(DELETE, key)).affected)
        return bool((await self._run(DELETE_VERSION, key, expected)).affected)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return (await self._run(DELETE_MANY, list(keys))).affected

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return {row[0].decode() for row in (await self._run(EXISTS, list(keys))).rows}

    async def _ranges(self) -> AsyncIterator[tuple[str, str]]:
        pages = int((await self._run(PAGES)).rows[0][0])
        for first in range(0, pages, PAGES_A_STEP):
            yield f"({first},0)", f"({first + PAGES_A_STEP},0)"

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        """Remove expired records in batches; see Store.purge().

        The table is read in its order on disk, a few pages a statement. Each is a transaction of
        its own and locks only what it removes: no index is needed, and no lock is held for long.
        """
        async for first, last in self._ranges():
            removed = batch_size
            while removed == batch_size:
                removed = (await self._run(PURGE, first, last, batch_size)).affected
                if removed:
                    yield removed

    async def expired(self) -> int:
        counts = [(await self._run(EXPIRED, *pages)).rows async for pages in self._ranges()]
        return sum(int(rows[0][0]) for rows in counts)

    async def scan(self) -> AsyncIterator[str]:
        # By key, not by place: an update moves a row.
        last = ""
        while rows := (await self._run(SCAN, last)).rows:
            for row in rows:
                last = row[0].decode()
                yield last

    async def inspect(self) -> Inspection:
        row = [value.decode() for value in (await self._run(INSPECT)).rows[0]]
        return Inspection(row[0], float(row[1]), postgresql_problems(self.alias, row))

    async def prepare(self) -> None:
        """Run this app's migrations on the alias, over Django's own connection."""
        await on_connection(partial(create_table, self.alias))

    def close(self) -> None:
        self._clients.close()


def _option(options: StoreOptions, name: str, default: Any, allowed: tuple[Any, ...]) -> Any:
    value = options.options.get(name, default)
    if value is not default and value not in allowed:
        raise ImproperlyConfigured(
            f"MULTISESSION: OPTIONS[{name!r}] must be one of {', '.join(map(repr, allowed))}; it is {value!r}."
        )
    return value
