"""Sessions in a table of a database: Django's db engine, django-user-sessions, django-qsessions, and similar ones."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections, router, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from ...conf import Fallback
from ...exceptions import InvalidRecord
from ...stores.aliases import alias_of
from ...stores.base import ABSENT_KEY, LONGEST_TTL, StoreOptions
from ..source import Found, New, Removal
from .asked import AskedDatabase
from .djangos import DjangosSource, as_session

_ABOUT_THE_REQUEST: Final = ("user_agent", "ip", "created_at")
"""Columns that the packages fill from the request, which is not known here: they are left as they are."""


class TableSource(DjangosSource):
    """The rows of a model with session_key, session_data and expire_date, such as AbstractBaseSession."""

    def __init__(self, fallback: Fallback) -> None:
        super().__init__(fallback)
        self.model = self._model()
        self._alias = self._database()
        table: str = self.model._meta.db_table
        self._asked = AskedDatabase(self._alias, table, fallback.entry.timeout, partial(self._row, ABSENT_KEY))

    @property
    def name(self) -> str:
        return self._asked.name

    def _model(self) -> Any:
        """Return the engine's model: from Django's documented get_model_class(), or that of django-user-sessions."""
        store_class: Any = self.engine.store_class
        try:
            if hasattr(store_class, "get_model_class"):
                return store_class.get_model_class()
            from user_sessions.models import Session  # type: ignore[import-untyped]  # it ships no types

            return Session
        except RuntimeError as error:  # raised by Django for a model whose app is not installed
            raise ImproperlyConfigured(
                f"it reads the table of {self.engine.path!r}, whose app is not in INSTALLED_APPS. "
                "Leave it there until FALLBACK is removed."
            ) from error

    def _database(self) -> str:
        """Return the key of DATABASES that LOCATION names; by default, the one that the project's routers name."""
        location = self.fallback.entry.location
        if location is not None:
            return alias_of(StoreOptions(location))
        # The primary: a replica may not have yet what the browser's last request has written.
        return router.db_for_write(self.model)

    @property
    def _is_referred_to(self) -> bool:
        """Whether related tables, or receivers of signals, rely on Django's deletion of each row."""
        signals = (pre_delete, post_delete)
        return bool(self.model._meta.related_objects) or any(each.has_listeners(self.model) for each in signals)

    def _rows(self, **conditions: Any) -> "QuerySet[Any]":
        # Not the model's manager: that of django-qsessions imports SESSION_ENGINE, which is ours by now.
        return QuerySet(self.model, using=self._alias).filter(**conditions)

    def _live(self, **conditions: Any) -> "QuerySet[Any]":
        return self._rows(expire_date__gt=timezone.now(), **conditions)

    def _row(self, key: str) -> tuple[str, Any] | None:
        rows = self._live(session_key=key).values_list("session_data", "expire_date")
        return next(iter(rows), None)

    async def read(self, key: str) -> Found | None:
        row = await self._asked.ask(partial(self._row, key))
        if row is None:
            return None
        return self._found(key, *row)

    def _found(self, key: str, text: str, expires: Any) -> Found | None:
        age = int((expires - timezone.now()).total_seconds())
        return Found(key, self._decoded(key, text), age, text) if age > 0 else None

    async def read_many(self, keys: Sequence[str]) -> dict[str, Found | InvalidRecord]:
        """See Source.read_many(). With one query."""
        columns = "session_key", "session_data", "expire_date"
        rows = await self._asked.ask(lambda: list(self._live(session_key__in=keys).values_list(*columns)))
        found: dict[str, Found | InvalidRecord] = {}
        for key, text, expires in rows:
            try:
                one = self._found(key, text, expires)
            except InvalidRecord as error:
                found[key] = error
            else:
                if one is not None:
                    found[key] = one
        return found

    def _decoded(self, key: str, text: str) -> dict[str, Any]:
        store = self.engine.store(key)
        data = as_session(store.decode(text))
        if not data:
            # Django's decode() returns an empty session if it cannot read one.
            try:
                as_session(signing.loads(text, salt=store.key_salt, serializer=self.engine.serializer))
            except Exception as error:  # a serializer is the project's own code
                raise InvalidRecord("it is not signed with SECRET_KEY or its fallbacks, or damaged") from error
        return data

    async def exists(self, key: str) -> bool:
        return await self._asked.ask(lambda: self._live(session_key=key).exists())

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        as_found = {} if found is None else {"session_data": found.token}

        def delete() -> Removal:
            rows = self._rows(session_key=key, **as_found)
            # _raw_delete(), since delete() opens a transaction: three round trips.
            if rows.delete()[0] if self._is_referred_to else rows._raw_delete(self._alias):
                return Removal.REMOVED
            return Removal.CHANGED if found and self._live(session_key=key).exists() else Removal.GONE

        def delete_again() -> Removal:
            again = delete()
            return Removal.REMOVED if again is Removal.GONE else again

        return await self._asked.ask(delete, again=delete_again)

    async def remove_many(self, found: Sequence[Found]) -> list[Removal]:
        """See Source.remove_many(). In one transaction, if rows can be locked between the read and the deletion."""
        if self._is_referred_to or not connections[self._alias].features.has_select_for_update:
            return await super().remove_many(found)
        removals = await self._asked.ask(partial(self._delete_many, found), again=partial(self._delete_again, found))
        return [removals[each.key] for each in found]

    def _delete_many(self, found: Sequence[Found]) -> dict[str, Removal]:
        with transaction.atomic(using=self._alias):
            # Ordered, so that two walks lock them in the same order.
            rows = self._live(session_key__in=[each.key for each in found]).order_by("session_key").select_for_update()
            there = dict(rows.values_list("session_key", "session_data"))
            removals = {
                each.key: Removal.GONE
                if each.key not in there
                else Removal.REMOVED
                if there[each.key] == each.token
                else Removal.CHANGED
                for each in found
            }
            removed = [key for key, removal in removals.items() if removal is Removal.REMOVED]
            self._rows(session_key__in=removed)._raw_delete(self._alias)
        return removals

    def _delete_again(self, found: Sequence[Found]) -> dict[str, Removal]:
        again = self._delete_many(found)
        return {key: Removal.REMOVED if each is Removal.GONE else each for key, each in again.items()}

    async def shorten(self, found: Found, seconds: int) -> bool:
        def bring_forward() -> bool:
            end = timezone.now() + timedelta(seconds=seconds)
            rows = self._rows(session_key=found.key, session_data=found.token, expire_date__gt=end)
            return bool(rows.update(expire_date=end)) or self._live(session_key=found.key).exists()

        return await self._asked.ask(bring_forward)

    async def create(self, key: str, new: New) -> Found | None:
        def insert() -> Found | None:
            row = self._instance(key, new)
            try:
                with transaction.atomic(using=self._alias):
                    row.save(force_insert=True, using=self._alias)
            except IntegrityError:
                if self._rows(session_key=key).exists():
                    return None
                raise
            return Found(key, new.data, new.age, row.session_data)

        return await self._asked.ask(insert)

    async def write(self, found: Found, new: New) -> Found | None:
        def update() -> Found | None:
            row = self._instance(found.key, new)
            values = {
                field.attname: field.pre_save(row, add=False)
                for field in self.model._meta.concrete_fields
                if not field.primary_key and field.name not in _ABOUT_THE_REQUEST
            }
            live = self._live(session_key=found.key, session_data=found.token)
            return Found(found.key, new.data, new.age, row.session_data) if live.update(**values) else None

        return await self._asked.ask(update)

    def _instance(self, key: str, new: New) -> Any:
        """Return an unsaved row, with the columns that the engine fills."""
        data = new.data
        store = self.engine.store(key, data)
        if hasattr(store, "create_model_instance"):
            row = store.create_model_instance(data)
        else:
            row = self.model(session_key=key, session_data=store.encode(data), user_id=data.get(SESSION_KEY))
        row.expire_date = timezone.now() + timedelta(seconds=min(new.age, LONGEST_TTL))
        return row

    async def scan(self, batch_size: int = 1000) -> AsyncIterator[str]:
        last = ""
        while keys := await self._asked.ask(partial(self._keys_after, last, batch_size)):
            for last in keys:
                yield last

    def _keys_after(self, last: str, batch_size: int) -> list[str]:
        keys = self._live(session_key__gt=last).order_by("session_key").values_list("session_key", flat=True)
        return list(keys[:batch_size])

    async def count(self) -> int | None:
        return await self._asked.ask(lambda: self._live().count())
