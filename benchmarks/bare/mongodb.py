"""PyMongo's MongoClient, with the commands of our store."""

from __future__ import annotations

import time
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo import MongoClient, WriteConcern

from benchmarks.sides import BareSide, must
from django_multisession.envelope import VERSION
from django_multisession.stores.mongodb import _ABSENT, _LIVE, _PAYLOAD_ONLY  # the same commands


class BareMongoDB(BareSide):
    name = "bare PyMongo"

    def __init__(self, location: str, payload: bytes, ttl: int) -> None:
        super().__init__(payload, ttl)
        self._client: MongoClient[dict[str, Any]] = MongoClient(location)
        database = self._client.get_default_database()
        self._collection = database.get_collection("bare", write_concern=WriteConcern(w="majority"))
        self.create()

    def load(self) -> object:
        return self._collection.find_one({"_id": self.key, **_LIVE}, _PAYLOAD_ONLY)

    def change(self) -> object:
        stored = must(self._collection.find_one({"_id": self.key, **_LIVE}, _PAYLOAD_ONLY))["p"]
        row = {"_id": self.key, "v": stored[VERSION], **_LIVE}
        return must(self._collection.update_one(row, self._update(stored)).matched_count)

    def create(self) -> object:
        self.key = self.new_key()
        row = {"_id": self.key, **_ABSENT}
        update = self._update(self.payload)
        return must(self._collection.update_one(row, update, upsert=True).upserted_id)

    def _update(self, stored: bytes) -> dict[str, Any]:
        payload, version = self.rewritten(stored)
        removal = DatetimeMS(int((time.time() + self.ttl) * 1000))
        return {
            "$set": {"v": version, "p": payload, "t": Int64(self.ttl * 1000), "e": removal},
            "$currentDate": {"w": True},
        }

    def close(self) -> None:
        self._client.close()
