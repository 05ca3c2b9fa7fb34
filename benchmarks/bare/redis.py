"""redis-py's default client: its pool, its retries, its default protocol."""

from __future__ import annotations

import redis

from benchmarks.sides import BareSide, must
from django_multisession.envelope import VERSION
from django_multisession.stores.redis import _REPLACE  # the same swap, not one like it


class BareRedis(BareSide):
    name = "bare redis-py"

    def __init__(self, location: str, payload: bytes, ttl: int) -> None:
        super().__init__(payload, ttl)
        self._client = redis.Redis.from_url(location)
        self._digest = str(self._client.script_load(_REPLACE.source))
        self.create()

    def load(self) -> object:
        return self._client.get(f"dms:{self.key}")

    def change(self) -> object:
        address = f"dms:{self.key}"
        stored: bytes = must(self._client.get(address))
        payload, _ = self.rewritten(stored)
        expected = stored[VERSION]
        return must(self._client.evalsha(self._digest, 1, address, expected, payload, self.ttl))

    def create(self) -> object:
        self.key = self.new_key()
        return must(self._client.set(f"dms:{self.key}", self.payload, nx=True, ex=self.ttl))

    def close(self) -> None:
        self._client.close()
