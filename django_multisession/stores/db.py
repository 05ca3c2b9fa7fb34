"""Sessions in any database of the project: Django's ORM, connections and transactions."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db.models import QuerySet
from django.db.models.constants import OnConflict
from django.db.models.functions import Now
from django.db.models.sql import InsertQuery

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
    table_is_missing,
)
from .base import Inspection, Record, Store, StoreOptions

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
    outages = (OSError, OperationalError, InterfaceError)

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

    @property
    def name(self) -> str:
        return f"DATABASES[{self.alias!r}]"

    async def _run(self, query: Callable[[], T]) -> T:
        return await on_connection(partial(self._attempt, query))

    def _attempt(self, query: Callable[[], T]) -> T:
        # Here, and not around the change of thread: waiting for one another is no matter of the database.
        with self.guard():
            return self._asked(query)

    def _asked(self, query: Callable[[], T]) -> T:
        try:
            return query()
        except (DatabaseError, InterfaceError) as error:
            if table_is_missing(error):
                raise missing_table(self.alias) from error
            # Django would do so at the end of the request; a second attempt needs it now.
            connections[self.alias].close_if_unusable_or_obsolete()
            raise

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
        rows = self._live(key=key).values_list("payload", "version")
        for payload, version in await self._run(lambda: list(rows)):
            return Record(bytes(payload), bytes(version))
        return None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        return version if await self._run(lambda: self._insert(key, payload, ttl, version)) else None

    def _insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bool:
        connection = connections[self.alias]
        values: dict[str, Any] = {
            "payload": payload,
            "version": version,
            "expires_at": _end(ttl),
        }
        record = self._model(key=key, **values)
        if connection.features.supports_ignore_conflicts:
            # As bulk_create(), which opens a transaction and does not tell whether it inserted.
            query = InsertQuery(self._model, on_conflict=OnConflict.IGNORE)
            query.insert_values(self._model._meta.local_concrete_fields, [record])
            with connection.cursor() as cursor:
                for sql, parameters in query.get_compiler(self.alias).as_sql():
                    cursor.execute(sql, parameters)
                if cursor.rowcount:
                    return True
        else:
            try:
                with transaction.atomic(self.alias):
                    record.save(force_insert=True, using=self.alias)
                return True
            except IntegrityError:
                pass
        # Taken, but perhaps by an expired record.
        return bool(self._rows(key=key, expires_at__lte=Clock()).update(**values))

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        row = self._live(key=key, version=expected)
        values = {"payload": payload, "version": version, "expires_at": _end(ttl)}
        return version if await self._run(lambda: row.update(**values)) else None

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        row = self._live(key=key) if expected is None else self._live(key=key, version=expected)
        return bool(await self._run(lambda: self._delete(row)))

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await self._run(lambda: sum(self._delete(self._live(key__in=some)) for some in self._batches(keys)))

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return await self._run(
            lambda: {
                key for some in self._batches(keys) for key in self._live(key__in=some).values_list("key", flat=True)
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
            rows = self._live(key__gt=last).order_by("key").values_list("key", flat=True)[:1000]
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
            problems.append(str(missing_table(self.alias)))
        version = ".".join(map(str, connection.get_database_version()))
        return Inspection(version, time, tuple(problems))

    def _sqlite_problems(self, cursor: Any) -> list[str]:
        cursor.execute("PRAGMA journal_mode")
        settings = connections[self.alias].settings_dict
        problems = []
        if cursor.fetchone()[0] not in ("wal", "memory"):
            problems.append(
                "journal_mode is not WAL: every save makes all readers wait. Set OPTIONS of "
                f"DATABASES[{self.alias!r}] to {{'init_command': 'PRAGMA journal_mode=WAL'}}."
            )
        if settings["ATOMIC_REQUESTS"] and settings["OPTIONS"].get("transaction_mode") != "IMMEDIATE":
            problems.append(
                "With ATOMIC_REQUESTS, of requests that save at the same time some fail ('database "
                "is locked'). Add 'transaction_mode': 'IMMEDIATE' to OPTIONS of "
                f"DATABASES[{self.alias!r}]."
            )
        return problems

    async def prepare(self) -> None:
        """Run this app's migrations on the alias."""
        await on_connection(partial(create_table, self.alias))


def _end(ttl: int) -> Any:
    return Clock() + timedelta(seconds=min(ttl, LONGEST_TTL))
