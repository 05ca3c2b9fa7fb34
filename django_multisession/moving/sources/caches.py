"""Sessions in a cache: Django's cache engine, on any cache of CACHES."""

import time
import zlib
from copy import deepcopy
from functools import cached_property, partial
from pickle import UnpicklingError
from typing import Any, Final

from ...conf import Fallback
from ...exceptions import InvalidRecord
from ...stores.base import ABSENT_KEY, Failure
from ..source import BY_ITSELF, Found, New, Removal
from .asked import Asked, AskedDatabase
from .djangos import DjangosSource, as_session, seconds_left
from .own_caches import OwnCache

UNREADABLE: Final = (
    *(UnpicklingError, zlib.error, EOFError),
    *(AttributeError, ImportError, LookupError, TypeError, ValueError),  # for a class that is gone, or has changed
)
"""What deserialising raises for what is no session; any other exception of a cache is about its server."""


class AskedCache(Asked):
    """A cache. Any exception of its client means that there was no answer."""

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """See Store.failure()."""
        if isinstance(error, UNREADABLE):
            return None
        return super().failure(error) or (Failure.LOSS, type(error).__name__)


class CacheSource(DjangosSource):
    """The sessions that Django's cache engine keeps, under its prefix and the session key."""

    why_not_scannable = f"a cache cannot be listed: {BY_ITSELF}"

    def __init__(self, fallback: Fallback) -> None:
        self._own = OwnCache.of(fallback)
        super().__init__(fallback)

    @property
    def name(self) -> str:
        return str(self._own)

    @property
    def pickles(self) -> bool:
        """See Source.pickles."""
        return self._own.pickles

    @cached_property
    def _asked(self) -> Asked:
        look = partial(self._own.look, self._address(ABSENT_KEY))
        timeout, database = self.fallback.entry.timeout, self._own.database
        if database is not None:
            return AskedDatabase(database, self._own.table, timeout, look)
        return AskedCache(self.name, timeout, look)

    def _address(self, key: str) -> str:
        prefix: str = self.engine.store_class.cache_key_prefix  # type: ignore[attr-defined]  # documented by Django
        return prefix + key

    def _get(self, key: str) -> Any:
        return self._own.cache.get(self._address(key))

    def _found(self, key: str) -> Found | None:
        value = self._get(key)
        if value is None:
            return None
        data = as_session(value)
        left = self._own.seconds_left(self._address(key))
        if left is None:  # not known: as if it had been written just now
            left = seconds_left(data, time.time(), self.engine.cookie_age)
        return Found(key, data, left, deepcopy(data)) if left > 0 else None

    async def read(self, key: str) -> Found | None:
        try:
            return await self._asked.ask(partial(self._found, key))
        except UNREADABLE as error:
            raise InvalidRecord("its cache cannot deserialise it") from error

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        def delete() -> Removal:
            if found is not None and not self._is_as_found(found, or_gone=True):
                return Removal.CHANGED
            return Removal.REMOVED if self._own.cache.delete(self._address(key)) else Removal.GONE

        def delete_again() -> Removal:
            again = delete()
            return Removal.REMOVED if again is Removal.GONE else again

        return await self._asked.ask(delete, again=delete_again)

    def _is_as_found(self, found: Found, *, or_gone: bool = False) -> bool:
        try:
            value = self._get(found.key)
        except UNREADABLE:
            return False
        return or_gone if value is None else bool(value == found.token)

    async def shorten(self, found: Found, seconds: int) -> bool:
        def touch() -> bool:
            cache, address = self._own.cache, self._address(found.key)
            if found.age > seconds and self._is_as_found(found):
                return bool(cache.touch(address, seconds))
            return bool(cache.has_key(address))

        return await self._asked.ask(touch)

    async def create(self, key: str, new: New) -> Found | None:
        added = await self._asked.ask(lambda: self._own.cache.add(self._address(key), new.data, new.age))
        return Found(key, new.data, new.age, deepcopy(new.data)) if added else None

    async def write(self, found: Found, new: New) -> Found | None:
        def replace() -> bool:
            # Django's caches have no compare-and-swap: a change between the two calls is lost, as it was before.
            if not self._is_as_found(found):
                return False
            self._own.cache.set(self._address(found.key), new.data, new.age)
            return True

        replaced = await self._asked.ask(replace)
        return Found(found.key, new.data, new.age, deepcopy(new.data)) if replaced else None
