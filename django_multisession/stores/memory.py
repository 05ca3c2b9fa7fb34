"""Sessions in this process' memory, for tests and demos: they end with the process, and no other process sees them."""

import threading
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from django.conf import settings

from ..bridge import here
from ..envelope import VERSION, is_session
from ..reprs import shown_as
from ..runtime import Event, Kept
from .base import Inspection, Record, Store, StoreOptions, refuse_in_event_loop


@shown_as(lambda row: f"{len(row.payload)} bytes")
class _Row(NamedTuple):
    payload: bytes
    version: bytes
    ends_at: float


# Storage keys differ by session name and KEY_PREFIX, so all sessions of the process can share one dictionary. It
# outlives the stores, which are made anew when settings change. A forked child needs a new lock: a thread of the parent
# may have held the old one.
_rows: Kept[dict[str, _Row]] = Kept(dict, Event.TEST)
_lock: Kept[threading.Lock] = Kept(threading.Lock, Event.FORK)


class MemoryStore(Store):
    """A dictionary under a lock; records expire by time.time(), which tests can freeze and move."""

    scannable = True
    expires = False
    local = True
    keeps_tombstones = False  # other processes know nothing of them

    def __init__(self, options: StoreOptions | None = None) -> None:
        super().__init__(options or StoreOptions())

    @property
    def name(self) -> str:
        return "memory"

    def _live(self, key: str) -> _Row | None:
        if here.blocks_a_loop and settings.DEBUG:
            refuse_in_event_loop()  # as with every other engine, so that the mistake is found in development
        row = _rows.value.get(key)
        return row if row is not None and row.ends_at > time.time() else None

    def _put(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes:
        _rows.value[key] = _Row(payload, version, time.time() + ttl)
        return version

    async def read(self, key: str) -> Record | None:
        row = self._live(key)
        return None if row is None else Record(row.payload, row.version)

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        with _lock.value:
            return None if self._live(key) is not None else self._put(key, payload, ttl, version)

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        with _lock.value:
            row = self._live(key)
            if row is None or row.version != expected:
                return None
            return self._put(key, payload, ttl, version)

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        with _lock.value:
            self._put(key, payload, ttl, payload[VERSION])

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        with _lock.value:
            row = self._live(key)
            if row is None or expected not in (None, row.version):
                return False
            del _rows.value[key]
            return True

    async def delete_many(self, keys: Iterable[str]) -> int:
        return sum([await self.delete(key) for key in keys])

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if (row := self._live(key)) is not None and is_session(row.payload)}

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        while True:
            with _lock.value:
                expired = self._expired()[:batch_size]
                for key in expired:
                    del _rows.value[key]
            if not expired:
                return
            yield len(expired)

    async def expired(self) -> int:
        with _lock.value:
            return len(self._expired())

    def _expired(self) -> list[str]:
        now = time.time()
        return [key for key, row in _rows.value.items() if row.ends_at <= now]

    async def scan(self) -> AsyncIterator[str]:
        with _lock.value:
            keys = list(_rows.value)
        for key in await self.exists(keys):
            yield key

    async def inspect(self) -> Inspection:
        return Inspection(version="-", time=time.time())

    async def probe(self, node: Any) -> None:
        """Do nothing: there is nothing to wait for."""
