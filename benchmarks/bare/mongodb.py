"""PyMongo's clients, with the commands of our store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo import AsyncMongoClient, MongoClient, WriteConcern

from benchmarks.sides import BareSide, must
from django_multisession.envelope import VERSION
from django_multisession.stores.mongodb.store import _ABSENT, _LIVE, _PAYLOAD_ONLY, _create_index  # the same commands

_COLLECTION = "bare"
_MAJORITY = WriteConcern(w="majority")


class _Commands(BareSide):
    """What both colours send."""

    name = "bare PyMongo"

    def update(self, stored: bytes) -> dict[str, Any]:
        record, version = self.rewritten(stored)
        removal = DatetimeMS(int((time.time() + self.ttl) * 1000))
        return {
            "$set": {"v": version, "p": record, "t": Int64(self.ttl * 1000), "e": removal},
            "$currentDate": {"w": True},
        }

    @staticmethod
    def live(key: str) -> dict[str, Any]:
        return {"_id": key, **_LIVE}

    @staticmethod
    def at_version(key: str, stored: bytes) -> dict[str, Any]:
        return {"_id": key, "v": stored[VERSION], **_LIVE}


class BareMongoDB(_Commands):
    def __init__(self, location: str, record: bytes, ttl: int) -> None:
        super().__init__(record, ttl)
        self._client: MongoClient[dict[str, Any]] = MongoClient(location)
        self._rows = self._client.get_default_database().get_collection(_COLLECTION, write_concern=_MAJORITY)
        _create_index(self._rows)

    def load(self, key: str) -> object:
        return self._rows.find_one(self.live(key), _PAYLOAD_ONLY)

    def change(self, key: str) -> object:
        stored = must(self._rows.find_one(self.live(key), _PAYLOAD_ONLY))["p"]
        return must(self._rows.update_one(self.at_version(key, stored), self.update(stored)).matched_count)

    def create(self, _key: str) -> str:
        key = self.new_key()
        update = self.update(self.record)
        must(self._rows.update_one({"_id": key, **_ABSENT}, update, upsert=True).upserted_id)
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self._rows.delete_many({"_id": {"$in": list(keys)}})

    def close(self) -> None:
        self._client.close()


class AsyncBareMongoDB(_Commands):
    def __init__(self, location: str, record: bytes, ttl: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(record, ttl)
        self.loop: asyncio.AbstractEventLoop = loop
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(location)
        self._rows = self._client.get_default_database().get_collection(_COLLECTION, write_concern=_MAJORITY)
        loop.run_until_complete(_create_index(self._rows))

    async def aload(self, key: str) -> object:
        return await self._rows.find_one(self.live(key), _PAYLOAD_ONLY)

    async def achange(self, key: str) -> object:
        stored = must(await self._rows.find_one(self.live(key), _PAYLOAD_ONLY))["p"]
        done = await self._rows.update_one(self.at_version(key, stored), self.update(stored))
        return must(done.matched_count)

    async def acreate(self, _key: str) -> str:
        key = self.new_key()
        update = self.update(self.record)
        done = await self._rows.update_one({"_id": key, **_ABSENT}, update, upsert=True)
        must(done.upserted_id)
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self.loop.run_until_complete(self._rows.delete_many({"_id": {"$in": list(keys)}}))

    def close(self) -> None:
        self.loop.run_until_complete(self._client.close())
