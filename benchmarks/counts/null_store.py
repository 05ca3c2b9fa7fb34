"""A store that answers at once: what is left is the session layer."""

from __future__ import annotations

from collections.abc import Iterable

from django_multisession.sessions.server import ServerSession
from django_multisession.stores.base import Record, Store, StoreOptions


class NullStore(Store):
    """Reads the first record that was inserted, whatever the key, and accepts every write."""

    def __init__(self, options: StoreOptions) -> None:
        super().__init__(options)
        self._record: Record | None = None

    @property
    def name(self) -> str:
        return "null"

    async def read(self, key: str) -> Record | None:
        return self._record

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        if self._record is None:
            self._record = Record(payload, version)
        return version

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        return version

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        return True

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return set()


class NullSession(ServerSession):
    """An engine over it."""

    store_class = NullStore
