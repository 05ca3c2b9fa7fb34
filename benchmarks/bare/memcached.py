"""pymemcache's Client, one connection without locks or serialisers."""

from __future__ import annotations

from pymemcache import Client  # type: ignore[import-untyped]  # it ships no types

from benchmarks.sides import BareSide, must


class BareMemcached(BareSide):
    name = "bare pymemcache"

    def __init__(self, location: str, payload: bytes, ttl: int) -> None:
        super().__init__(payload, ttl)
        self._client = Client(location, no_delay=True, default_noreply=False)
        self.create()

    def load(self) -> object:
        return self._client.gets(f"dms:{self.key}")

    def change(self) -> object:
        address = f"dms:{self.key}"
        stored, token = self._client.gets(address)
        payload, _ = self.rewritten(stored)
        return must(self._client.cas(address, payload, token, self.ttl))

    def create(self) -> object:
        self.key = self.new_key()
        return must(self._client.add(f"dms:{self.key}", self.payload, self.ttl))

    def close(self) -> None:
        self._client.close()
