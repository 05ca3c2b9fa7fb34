"""Sessions in this process' memory, for tests and demos: gone with it, and unknown to its siblings."""

import os
import threading
import time
from collections.abc import AsyncIterator, Iterable

from .base import Inspection, Record, Store, StoreOptions

_Row = tuple[bytes, bytes, float]


class MemoryStore(Store):
    """A dictionary under a lock; records end by the monotonic clock."""

    scannable = True
    expires = False
    local = True

    # Storage keys differ by session name and KEY_PREFIX, so all the process' sessions share one dictionary;
    # it outlives the stores that settings_changed throws away.
    _rows: dict[str, _Row] = {}
    _lock = threading.Lock()

    @classmethod
    def unlock(cls) -> None:
        """Make a new lock: in a forked child, a thread that is not there may hold the old one."""
        cls._lock = threading.Lock()

    def __init__(self, options: StoreOptions | None = None) -> None:
        super().__init__(options or StoreOptions())

    @property
    def name(self) -> str:
        return "memory"

    def _live(self, key: str) -> _Row | None:
        row = self._rows.get(key)
        return row if row is not None and row[2] > time.monotonic() else None

    async def read(self, key: str) -> Record | None:
        row = self._live(key)
        return None if row is None else Record(row[0], row[1])

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        with self._lock:
            if self._live(key) is not None:
                return None
            self._rows[key] = (payload, version, time.monotonic() + ttl)
            return version

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        with self._lock:
            row = self._live(key)
            if row is None or row[1] != expected:
                return None
            self._rows[key] = (payload, version, time.monotonic() + ttl)
            return version

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        with self._lock:
            row = self._live(key)
            if row is None or expected not in (None, row[1]):
                return False
            del self._rows[key]
            return True

    async def delete_many(self, keys: Iterable[str]) -> int:
        return sum([await self.delete(key) for key in keys])

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if self._live(key) is not None}

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        while True:
            with self._lock:
                expired = self._expired()[:batch_size]
                for key in expired:
                    del self._rows[key]
            if not expired:
                return
            yield len(expired)

    async def expired(self) -> int:
        with self._lock:
            return len(self._expired())

    def _expired(self) -> list[str]:
        now = time.monotonic()
        return [key for key, row in self._rows.items() if row[2] <= now]

    async def scan(self) -> AsyncIterator[str]:
        with self._lock:
            keys = [key for key in self._rows if self._live(key) is not None]
        for key in keys:
            yield key

    async def inspect(self) -> Inspection:
        return Inspection(version="-", time=time.time())


os.register_at_fork(after_in_child=MemoryStore.unlock)
