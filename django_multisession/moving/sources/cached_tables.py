"""Sessions in a table, with copies in a cache: Django's cached_db engine, and that of django-qsessions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property, partial

from django.db import router
from django.utils import timezone

from ...breaker import warn
from ...conf import Fallback
from ...exceptions import StoreUnavailable
from ...stores.base import ABSENT_KEY, LONGEST_TTL
from ..source import Found, New, Removal
from .caches import AskedCache
from .own_caches import OwnCache
from .tables import TableSource


class CachedTableSource(TableSource):
    """The table has every session; the cache has copies of some, which its engine reads first.

    We read the table only: the engine writes it before the cache, and a row that was deleted is a logout, whatever the
    cache has. We write and remove in both.
    """

    def __init__(self, fallback: Fallback) -> None:
        super().__init__(fallback)
        self._own = OwnCache.of(fallback)

    def _database(self) -> str:
        return router.db_for_write(self.model)  # LOCATION names the cache

    @cached_property
    def _copies(self) -> AskedCache:
        look = partial(self._own.look, self._address(ABSENT_KEY))
        return AskedCache(str(self._own), self.fallback.entry.timeout, look)

    def _address(self, key: str) -> str:
        prefix: str = self.engine.store_class.cache_key_prefix  # type: ignore[attr-defined]  # documented by Django
        return prefix + key

    async def _forget(self, *keys: str) -> None:
        await self._copies.ask(lambda: self._own.cache.delete_many([self._address(key) for key in keys]))

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        await self._forget(key)
        removed = await super().remove(key, found)
        if removed is Removal.REMOVED:
            # A process that has read the row before may have put a copy of it into the cache.
            await self._forget(key)
        return removed

    async def remove_many(self, found: Sequence[Found]) -> list[Removal]:
        await self._forget(*(each.key for each in found))
        removals = await super().remove_many(found)
        removed = [each.key for each, removal in zip(found, removals, strict=True) if removal is Removal.REMOVED]
        if removed:
            await self._forget(*removed)
        return removals

    async def shorten(self, found: Found, seconds: int) -> bool:
        is_there = await super().shorten(found, seconds)
        await self._forget(found.key)  # the next reader copies it again, for as long as the row lives now
        return is_there

    async def create(self, key: str, new: New) -> Found | None:
        began = timezone.now()
        return await self._copied(began, await super().create(key, new))

    async def write(self, found: Found, new: New) -> Found | None:
        began = timezone.now()
        return await self._copied(began, await super().write(found, new))

    async def _copied(self, began: datetime, written: Found | None) -> Found | None:
        """Put a copy of what was written into the cache, which may have one of the row as it was before."""
        if written is None:
            return None
        key, data, age = written.key, written.data, written.age
        try:
            await self._copies.ask(lambda: self._own.cache.set(self._address(key), data, age))
            row = await self._asked.ask(partial(self._row, key))
            if row is None or row[0] != written.token or row[1] < began + timedelta(seconds=min(age, LONGEST_TTL)):
                # It was removed, changed or shortened before the copy was written, which nobody would remove.
                await self._forget(key)
        except StoreUnavailable as error:
            warn("A session was written to %s, and not to its copy: %s", self.name, error)
        return written
