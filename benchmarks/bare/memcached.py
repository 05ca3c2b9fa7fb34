"""pymemcache's Client, one connection without locks or serialisers. It has no asynchronous twin."""

from __future__ import annotations

from collections.abc import Iterable

from pymemcache import Client  # type: ignore[import-untyped]  # it ships no types

from benchmarks.sides import BareSide, must


class BareMemcached(BareSide):
    name = "bare pymemcache"

    def __init__(self, location: str, record: bytes, ttl: int) -> None:
        super().__init__(record, ttl)
        self._client = Client(location, no_delay=True, default_noreply=False)

    def load(self, key: str) -> object:
        return self._client.gets(f"dms:{key}")

    def change(self, key: str) -> object:
        stored, token = self._client.gets(f"dms:{key}")
        record, _ = self.rewritten(stored)
        return must(self._client.cas(f"dms:{key}", record, token, self.ttl))

    def create(self, _key: str) -> str:
        key = self.new_key()
        must(self._client.add(f"dms:{key}", self.record, self.ttl))
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self._client.delete_many([f"dms:{key}" for key in keys])

    def close(self) -> None:
        self._client.close()
