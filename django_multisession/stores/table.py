"""The table multisession_record through Django's ORM: each operation is one statement, on this thread's connection."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.db.models.constants import OnConflict
from django.db.models.functions import Now
from django.db.models.sql import InsertQuery

from ..envelope import VERSION, is_session
from ..exceptions import SessionTooLarge
from .base import LONGEST_TTL, Record
from .sql_errors import PACKET_TOO_LARGE, SERVER_GONE, number_of

if TYPE_CHECKING:
    from ..models import SessionRecord


class Clock(Now):
    """The database's own time, in UTC.

    Now() gives the server's local time on MySQL and Oracle, which jumps twice a year.
    """

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_oracle(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "SYS_EXTRACT_UTC(SYSTIMESTAMP)"
        return self.as_sql(compiler, connection, template=template, **context)


_STATEMENT = 1024
"""About how many bytes a statement has beside its payload."""


class Table:
    """The records on one alias of DATABASES, with the operations of a store, as synchronous methods."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        # By connection, of which each thread has its own: the key of the last write that found no row at its version.
        self._refused: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    @property
    def _model(self) -> "type[SessionRecord]":
        # Imported late: stores may be made before all apps are ready, and models may not be imported then.
        from ..models import SessionRecord

        return SessionRecord

    def _rows(self, **conditions: Any) -> "QuerySet[SessionRecord]":
        return self._model.objects.using(self.alias).filter(**conditions)

    def _live(self, **conditions: Any) -> "QuerySet[SessionRecord]":
        return self._rows(expires_at__gt=Clock(), **conditions)

    @cached_property
    def _readable(self) -> "QuerySet[SessionRecord, tuple[Any, Any]]":
        # Made once: Django takes as long to build a query as a nearby database takes to answer it.
        return self._live().values_list("payload", "version")

    def _delete(self, rows: "QuerySet[SessionRecord]") -> int:
        # QuerySet.delete() would open a transaction: three round trips. Nothing refers to a record.
        count: int = rows._raw_delete(self.alias)
        return count

    # The operations; see Store.

    def read(self, key: str) -> Record | None:
        """Return the live record under key."""
        rows = self._readable.filter(key=key)
        connection = connections[self.alias]
        if self._refused.pop(connection, None) == key and connection.in_atomic_block:
            # Under REPEATABLE READ, MySQL's default, a transaction sees the record as it was when it began, and every
            # attempt to replace that would fail. A locking read sees the current one.
            rows = rows.select_for_update() if connection.features.has_select_for_update else rows
        row = next(iter(rows), None)
        return None if row is None else Record(bytes(row[0]), bytes(row[1]))

    def insert(self, key: str, payload: bytes, ttl: int) -> bool:
        """Create a record; False if key is taken."""
        return self._write(self._insert, key, payload, ttl)

    def _insert(self, key: str, values: dict[str, Any]) -> bool:
        # If the key is taken, it may be by an expired record.
        return self._insert_absent(key, values) or bool(self._rows(key=key, expires_at__lte=Clock()).update(**values))

    def _insert_absent(self, key: str, values: dict[str, Any]) -> bool:
        connection = connections[self.alias]
        record = self._model(key=key, **values)
        if connection.features.supports_ignore_conflicts:
            # What bulk_create() does, which would open a transaction, and not tell whether it has inserted.
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

    def replace(self, key: str, payload: bytes, ttl: int, expected: bytes) -> bool:
        """Replace the live record at the version expected; False if there is none."""
        return self._write(partial(self._replace, expected), key, payload, ttl)

    def _replace(self, expected: bytes, key: str, values: dict[str, Any]) -> bool:
        return self._is_done(key, self._live(key=key, version=expected).update(**values))

    def put(self, key: str, payload: bytes, ttl: int) -> None:
        """Write a payload under key, whatever is there."""
        self._write(self._put, key, payload, ttl)

    def _put(self, key: str, values: dict[str, Any]) -> bool:
        rows = self._rows(key=key)
        # The last one only if somebody else has inserted the key meanwhile.
        return bool(rows.update(**values)) or self._insert_absent(key, values) or bool(rows.update(**values))

    def _write(self, write: Callable[[str, dict[str, Any]], bool], key: str, payload: bytes, ttl: int) -> bool:
        values = {
            "payload": payload,
            "version": payload[VERSION],
            "is_session": is_session(payload),
            "expires_at": Clock() + timedelta(seconds=min(ttl, LONGEST_TTL)),
        }
        try:
            return write(key, values)
        except DatabaseError as error:
            if self._is_above_packet(payload, error):
                raise SessionTooLarge(
                    f"A session of {len(payload)} bytes is larger than max_allowed_packet of "
                    f"DATABASES[{self.alias!r}] allows."
                ) from error
            raise

    def _is_above_packet(self, payload: bytes, error: DatabaseError) -> bool:
        """Tell whether MySQL refused a statement for its size; for a much larger one it only closes the connection."""
        connection = connections[self.alias]
        code = number_of(error)
        if code == PACKET_TOO_LARGE or code not in SERVER_GONE or connection.in_atomic_block:
            return code == PACKET_TOO_LARGE
        connection.close()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@max_allowed_packet")
                # The bytes that are escaped in a statement count twice.
                size = _STATEMENT + len(payload) + sum(map(payload.count, b"\0\n\r\x1a\"'\\"))
                return size > int(cursor.fetchone()[0])
        except DatabaseError:  # it has gone indeed
            return False

    def delete(self, key: str, expected: bytes | None) -> bool:
        """Delete the live record under key, with expected only at that version; False if there is none."""
        rows = self._live(key=key) if expected is None else self._live(key=key, version=expected)
        return self._is_done(key, self._delete(rows))

    def _is_done(self, key: str, count: int) -> bool:
        """Tell whether a write at a version found its row; if not, let the next read see what is there now."""
        if not count:
            self._refused[connections[self.alias]] = key
        return bool(count)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Delete these records; return how many there were."""
        return sum(self._delete(self._live(key__in=some)) for some in self._batches(keys))

    def exists(self, keys: Iterable[str]) -> set[str]:
        """Return those of keys that have a live session."""
        return {
            key
            for some in self._batches(keys)
            for key in self._live(key__in=some, is_session=True).values_list("key", flat=True)
        }

    def keys_after(self, last: str) -> list[str]:
        """Return the keys of the next 1,000 live sessions after a key, in order."""
        rows = self._live(key__gt=last, is_session=True).order_by("key")
        return list(rows.values_list("key", flat=True)[:1000])

    def _batches(self, keys: Iterable[str]) -> Iterator[list[str]]:
        remaining = iter(keys)
        while batch := list(islice(remaining, self._most_keys(1000))):
            yield batch

    def _most_keys(self, wanted: int) -> int:
        # SQLite and Oracle limit how many parameters a statement may have.
        features = connections[self.alias].features
        return min(wanted, (features.max_query_params or wanted + 10) - 10)

    def expired(self) -> int:
        """Count the records that have expired."""
        return self._rows(expires_at__lte=Clock()).count()

    def purge(self, batch_size: int) -> int:
        """Remove a batch of expired records; return how many."""
        expired = self._rows(expires_at__lte=Clock())
        keys = expired.values_list("key", flat=True)[: self._most_keys(batch_size)]
        # The condition is repeated: the key may have been taken again meanwhile.
        return self._delete(expired.filter(key__in=list(keys)))
