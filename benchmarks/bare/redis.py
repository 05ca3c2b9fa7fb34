"""redis-py's default clients: their pool, their retries, their default protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import redis
import redis.asyncio

from benchmarks.sides import BareSide, must
from django_multisession.envelope import VERSION
from django_multisession.stores.redis.store import _REPLACE  # the same swap, not one like it


def _address(key: str) -> str:
    return f"dms:{key}"


def _swap(client: Any, info: dict[str, Any], digest: str, key: str, change: tuple[bytes, bytes, int]) -> Any:
    """Swap as our store does on such a server; ``change`` is what is stored, the new record and its ttl."""
    stored, record, ttl = change
    if tuple(map(int, info["redis_version"].split(".")[:2])) >= (8, 4):
        return client.execute_command("SET", _address(key), record, "IFEQ", stored, "EX", ttl)
    return client.evalsha(digest, 1, _address(key), stored[VERSION], record, ttl)


class BareRedis(BareSide):
    name = "bare redis-py"

    def __init__(self, location: str, record: bytes, ttl: int) -> None:
        super().__init__(record, ttl)
        self._client = redis.Redis.from_url(location)
        self._digest = str(self._client.script_load(_REPLACE.source))
        self._info: Any = self._client.info("server")

    def load(self, key: str) -> object:
        return self._client.get(_address(key))

    def change(self, key: str) -> object:
        stored: bytes = must(self._client.get(_address(key)))
        record, _ = self.rewritten(stored)
        return must(_swap(self._client, self._info, self._digest, key, (stored, record, self.ttl)))

    def create(self, _key: str) -> str:
        key = self.new_key()
        must(self._client.set(_address(key), self.record, nx=True, ex=self.ttl))
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self._client.delete(*map(_address, keys))

    def close(self) -> None:
        self._client.close()


class AsyncBareRedis(BareSide):
    name = "bare redis-py"

    def __init__(self, location: str, record: bytes, ttl: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(record, ttl)
        self.loop: asyncio.AbstractEventLoop = loop
        self._client = redis.asyncio.Redis.from_url(location)
        self._digest = str(loop.run_until_complete(self._client.script_load(_REPLACE.source)))
        self._info: Any = loop.run_until_complete(self._client.info("server"))

    async def aload(self, key: str) -> object:
        return await self._client.get(_address(key))

    async def achange(self, key: str) -> object:
        stored: bytes = must(await self._client.get(_address(key)))
        record, _ = self.rewritten(stored)
        return must(await _swap(self._client, self._info, self._digest, key, (stored, record, self.ttl)))

    async def acreate(self, _key: str) -> str:
        key = self.new_key()
        must(await self._client.set(_address(key), self.record, nx=True, ex=self.ttl))
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self.loop.run_until_complete(self._client.delete(*map(_address, keys)))

    def close(self) -> None:
        self.loop.run_until_complete(self._client.aclose())
