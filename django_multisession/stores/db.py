"""Sessions in any database of the project: Django's ORM, connections and transactions."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    IntegrityError,
    connections,
    transaction,
)
from django.db.models import QuerySet
from django.db.models.constants import OnConflict
from django.db.models.functions import Now
from django.db.models.sql import InsertQuery

from ..breaker import PROBE_TIMEOUT
from ..bridge import native_loop, within
from ..envelope import VERSION, is_session
from ..exceptions import SessionTooLarge
from .aliases import (
    APP,
    INSPECT_POSTGRESQL,
    LONGEST_TTL,
    alias_of,
    create_table,
    missing_table,
    on_connection,
    postgresql_problems,
    table_exists,
)
from .base import ABSENT_KEY, Failure, Inspection, Record, Store, StoreOptions
from .shared import SharedConnection
from .sql_errors import PACKET_TOO_LARGE, SERVER_GONE, number_of
from .sqlite import sqlite_problems

if TYPE_CHECKING:
    from ..models import SessionRecord

T = TypeVar("T")


class Clock(Now):
    """The database's own time, in UTC.

    By Now(), MySQL and Oracle tell the server's local time, which jumps twice a year.
    """

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_oracle(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "SYS_EXTRACT_UTC(SYSTIMESTAMP)"
        return self.as_sql(compiler, connection, template=template, **context)


_STATEMENT = 1024
"""Bytes of a statement beside its payload, roundly."""

_EPOCH = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
}


class DatabaseStore(Store):
    """The table multisession_record of the database that LOCATION, a key of DATABASES, names.

    Each operation is one statement, inside the transaction of the caller if there is one: what a
    view rolls back, it rolls back for the session too. The connection is Django's, and so is the
    waiting: TIMEOUT bounds whether a request may ask once more, not how long a statement takes. Set
    the driver's own limits in OPTIONS of DATABASES, or use the postgresql engine.

    SQLite writes one transaction at a time. In WAL mode reading goes on meanwhile, and a statement
    on its own, as all of these are, waits up to OPTIONS["timeout"] (5 s) for its turn. A
    transaction that has read before it writes does not wait, it fails ("database is locked"): with
    ATOMIC_REQUESTS, OPTIONS["transaction_mode"] must be "IMMEDIATE".
    """

    scannable = True
    expires = False

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
        # By connection, which each thread has its own of: the key of the last write that was refused.
        self._refused: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        return f"DATABASES[{self.alias!r}]"

    @property
    def transactional(self) -> bool:
        return True

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """See Store.failure()."""
        return self._shared.verdict(error) or super().failure(error)

    async def probe(self, node: Any) -> None:
        """See Store.probe(). The driver's own limits are too long for it, so a thread of its own waits for it."""
        answer: Future[None] = Future()
        threading.Thread(target=_probe, args=(self.alias, answer), daemon=True).start()
        if native_loop() is None:
            answer.result(PROBE_TIMEOUT)
        else:
            await within(asyncio.wrap_future(answer), PROBE_TIMEOUT)

    async def _run(self, query: Callable[[], T]) -> T:
        return await self._shared.run(self, query)

    @property
    def _model(self) -> "type[SessionRecord]":
        # Models cannot be imported before all apps are, which is when settings may be read already.
        from ..models import SessionRecord

        return SessionRecord

    def _rows(self, **conditions: Any) -> "QuerySet[SessionRecord]":
        return self._model.objects.using(self.alias).filter(**conditions)

    def _live(self, **conditions: Any) -> "QuerySet[SessionRecord]":
        return self._rows(expires_at__gt=Clock(), **conditions)

    def _delete(self, rows: "QuerySet[SessionRecord]") -> int:
        # QuerySet.delete() would open a transaction: three round trips. Nothing refers to a record.
        count: int = rows._raw_delete(self.alias)
        return count

    async def read(self, key: str) -> Record | None:
        return await self._run(partial(self._read, key))

    def _read(self, key: str) -> Record | None:
        rows = self._live(key=key)
        connection = connections[self.alias]
        if self._refused.pop(connection, None) == key and connection.in_atomic_block:
            # Under REPEATABLE READ, the default of MySQL, a transaction sees what was there when it began, and every
            # attempt to replace that would be refused. A locking read sees what is there now.
            rows = rows.select_for_update() if connection.features.has_select_for_update else rows
        for payload, version in rows.values_list("payload", "version"):
            return Record(bytes(payload), bytes(version))
        return None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        values = _values(payload, ttl, version)
        return version if await self._run(partial(self._write, self._insert, key, values)) else None

    def _insert(self, key: str, values: dict[str, Any]) -> bool:
        # Taken perhaps, but by an expired record.
        return self._insert_absent(key, values) or bool(self._rows(key=key, expires_at__lte=Clock()).update(**values))

    def _insert_absent(self, key: str, values: dict[str, Any]) -> bool:
        connection = connections[self.alias]
        record = self._model(key=key, **values)
        if connection.features.supports_ignore_conflicts:
            # As bulk_create(), which opens a transaction and does not tell whether it inserted.
            query = InsertQuery(self._model, on_conflict=OnConflict.IGNORE)
            query.insert_values(self._model._meta.local_concrete_fields, [record])
            with connection.cursor() as cursor:
                for sql, parameters in query.get_compiler(self.alias).as_sql():
                    cursor.execute(sql, parameters)
                return bool(cursor.rowcount)
        try:
            with transaction.atomic(self.alias):
                record.save(force_insert=True, using=self.alias)
        except IntegrityError:
            return False
        return True

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        values = _values(payload, ttl, version)
        replaced = await self._run(partial(self._write, partial(self._replace, expected), key, values))
        return version if replaced else None

    def _replace(self, expected: bytes, key: str, values: dict[str, Any]) -> bool:
        return self._is_done(key, self._live(key=key, version=expected).update(**values))

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        await self._run(partial(self._write, self._put, key, _values(payload, ttl, payload[VERSION])))

    def _put(self, key: str, values: dict[str, Any]) -> bool:
        rows = self._rows(key=key)
        # The third only if another one has inserted meanwhile.
        return bool(rows.update(**values)) or self._insert_absent(key, values) or bool(rows.update(**values))

    def _write(self, write: Callable[[str, dict[str, Any]], bool], key: str, values: dict[str, Any]) -> bool:
        try:
            return write(key, values)
        except DatabaseError as error:
            payload = values["payload"]
            if self._is_above_packet(payload, error):
                raise SessionTooLarge(
                    f"A session of {len(payload)} bytes is larger than max_allowed_packet of {self.name} allows."
                ) from error
            raise

    def _is_above_packet(self, payload: bytes, error: DatabaseError) -> bool:
        """Tell whether MySQL refused a statement for its size; of a larger one it only closes the connection."""
        connection = connections[self.alias]
        code = number_of(error)
        if code == PACKET_TOO_LARGE or code not in SERVER_GONE or connection.in_atomic_block:
            return code == PACKET_TOO_LARGE
        connection.close()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@max_allowed_packet")
                # In a statement the bytes that mean something to SQL are two.
                size = _STATEMENT + len(payload) + sum(map(payload.count, b"\0\n\r\x1a\"'\\"))
                return size > int(cursor.fetchone()[0])
        except DatabaseError:  # it has gone indeed
            return False

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        row = self._live(key=key) if expected is None else self._live(key=key, version=expected)
        return await self._run(lambda: self._is_done(key, self._delete(row)))

    def _is_done(self, key: str, count: int) -> bool:
        """Tell whether a write at a version found its row; if not, let the next read see what is there now."""
        if not count:
            self._refused[connections[self.alias]] = key
        return bool(count)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await self._run(lambda: sum(self._delete(self._live(key__in=some)) for some in self._batches(keys)))

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return await self._run(
            lambda: {
                key
                for some in self._batches(keys)
                for key in self._live(key__in=some, is_session=True).values_list("key", flat=True)
            }
        )

    def _batches(self, keys: Iterable[str]) -> Iterator[list[str]]:
        remaining = iter(keys)
        while batch := list(islice(remaining, self._most_keys(1000))):
            yield batch

    def _most_keys(self, wanted: int) -> int:
        # SQLite and Oracle bound how many values a statement may have.
        features = connections[self.alias].features
        return min(wanted, (features.max_query_params or wanted + 10) - 10)

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        while removed := await self._run(partial(self._purge, batch_size)):
            yield removed

    def _purge(self, batch_size: int) -> int:
        expired = self._rows(expires_at__lte=Clock())
        keys = expired.values_list("key", flat=True)[: self._most_keys(batch_size)]
        # Checked once more: the key may have been taken anew meanwhile.
        return self._delete(expired.filter(key__in=list(keys)))

    async def expired(self) -> int:
        return await self._run(self._rows(expires_at__lte=Clock()).count)

    async def scan(self) -> AsyncIterator[str]:
        last = ""
        while True:
            rows = self._live(key__gt=last, is_session=True).order_by("key").values_list("key", flat=True)[:1000]
            keys: list[str] = await self._run(partial(list, rows))
            if not keys:
                return
            for last in keys:
                yield last

    async def inspect(self) -> Inspection:
        return await self._run(self._inspect)

    def _inspect(self) -> Inspection:
        connection = connections[self.alias]
        vendor = connection.vendor
        with connection.cursor() as cursor:
            if vendor == "postgresql":
                cursor.execute(INSPECT_POSTGRESQL)
                row = cursor.fetchone()
                return Inspection(row[0], float(row[1]), postgresql_problems(self.alias, row))
            time = None
            if vendor in _EPOCH:
                cursor.execute(_EPOCH[vendor])
                time = float(cursor.fetchone()[0])
            problems = self._sqlite_problems(cursor) if vendor == "sqlite" else []
        if not table_exists(self.alias):
            problems.append(missing_table(self.alias))
        version = ".".join(map(str, connection.get_database_version()))
        return Inspection(version, time, tuple(problems))

    def _sqlite_problems(self, cursor: Any) -> list[str]:
        cursor.execute("PRAGMA journal_mode")
        problems = sqlite_problems(self.alias)
        if cursor.fetchone()[0] not in ("wal", "memory"):
            problems.append(
                "journal_mode is not WAL: every save makes all readers wait. Set OPTIONS of "
                f"DATABASES[{self.alias!r}] to {{'init_command': 'PRAGMA journal_mode=WAL'}}."
            )
        return problems

    async def prepare(self) -> None:
        """Run this app's migrations on the alias."""
        await on_connection(partial(create_table, self.alias))


def _values(payload: bytes, ttl: int, version: bytes) -> dict[str, Any]:
    return {
        "payload": payload,
        "version": version,
        "is_session": is_session(payload),
        "expires_at": Clock() + timedelta(seconds=min(ttl, LONGEST_TTL)),
    }


def _probe(alias: str, answer: "Future[None]") -> None:
    connection: Any = connections[alias].copy()
    # A connection of its own, not one of a pool; it gives up at some time, too.
    options = {key: value for key, value in connection.settings_dict["OPTIONS"].items() if key != "pool"}
    if connection.vendor in ("postgresql", "mysql"):
        options["connect_timeout"] = 2
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM multisession_record WHERE key = %s", [ABSENT_KEY])
    except Exception as error:  # noqa: BLE001 - for whoever waits
        answer.set_exception(error)
    else:
        answer.set_result(None)
    finally:
        connection.close()
