"""Sessions in MongoDB 4.2 or later: one document a session, written with majority write concern.

A document holds ``_id`` (storage key), ``v`` (version), ``p`` (payload), ``w`` (when it was written, by the server's
clock), ``t`` (its ttl in milliseconds) and ``e`` (when the server's TTL monitor may remove it).
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from ...bridge import maybe_await, native_loop
from ...envelope import SKEW, VERSION
from ...exceptions import SessionTooLarge
from ..base import Inspection, Record, Store, StoreOptions
from .clients import clients_for, parse, wait_for_primary

# isort: split
# Later than the import above, which says which extra is missing.
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from pymongo import ReadPreference, WriteConcern, timeout
from pymongo.errors import (
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
    _OperationCancelled,
)

logger = logging.getLogger("django_multisession")

COLLECTION = "multisession"
TTL_INDEX = "multisession_expiry"
PAGE = 1000
SELECTION = 0.6
"""Seconds that a call may take at least, if the budget allows: once a connection is lost, PyMongo looks for the
server again within half a second, and a call that had 0.5 s sometimes missed that."""

# The server's clock on both sides of the comparison. An update pipeline could store the end itself, but an upsert's
# filter may hold no $expr, and mongo-java-server, which stands in for mongod in tests, knows no pipelines.
_END = {"$add": ["$w", "$t"]}
_LIVE = {"$expr": {"$lt": ["$$NOW", _END]}}
_EXPIRED = {"$expr": {"$gte": ["$$NOW", _END]}}
# Every record has a version: an upsert with this filter creates, or finds the key taken, and updates nothing.
_ABSENT = {"v": {"$exists": False}}
_PAYLOAD_ONLY = {"_id": False, "p": True}
_KEY_ONLY = {"_id": True}


class MongoDBStore(Store):
    """LOCATION is ``mongodb://host/database`` or ``mongodb+srv://…``; OPTIONS are MongoClient's keywords.

    The collection is ``multisession``, with a KEY_PREFIX ``multisession_<prefix>``. Reads go to the primary, so that
    a request sees what the one before it wrote.
    """

    scannable = True
    outages: ClassVar[tuple[type[BaseException], ...]] = (OSError, PyMongoError)
    timeouts: ClassVar[tuple[type[BaseException], ...]] = (
        TimeoutError,
        NetworkTimeout,
        ServerSelectionTimeoutError,
        ExecutionTimeout,
        WTimeoutError,
        WaitQueueTimeoutError,
        _OperationCancelled,  # PyMongo's own look at the server got no answer, so that it gave up all others
    )
    max_payload = 16 * 1024 * 1024 - 1024
    """A document's limit of 16 MiB, less the other fields."""

    def __init__(self, options: StoreOptions) -> None:
        location, self._name, self._database = parse(options.location)
        self._collection = _collection_name(options.prefix)
        super().__init__(options)
        self._clients = clients_for(location, self._name, options)
        # A client and its collection, which it takes 10 µs to make; most processes have one, in threads or in a loop.
        self._latest: tuple[Any, Any] = None, None

    @property
    def name(self) -> str:
        return self._name

    @cached_property
    def call_timeout(self) -> float:
        return max(self.options.read_timeout, SELECTION)

    async def _run(
        self,
        command: Callable[[Any], Any],
        expected: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Any:
        """Return what command returns for our collection, None if it raises what is expected."""
        loop = native_loop()
        if loop is None:
            with self.guard() as seconds, timeout(seconds):
                client = self._clients.process.get()
                wait_for_primary(client, seconds)
                return await self._ask(client, command, expected, seconds)
        place = self._clients.loops.get(loop)
        await place.slots.take(self.options.timeout)
        try:
            # maybe_await() tells a server that is silent from a loop that is busy; PyMongo's timeout can't.
            with self.guard() as seconds, timeout(2 * seconds):
                return await self._ask(place.client, command, expected, seconds)
        finally:
            place.slots.give_back()

    async def _ask(self, client: Any, command: Callable[[Any], Any], expected: Any, seconds: float) -> Any:
        known, collection = self._latest
        if client is not known:
            collection = self._collection_of(client)
            self._latest = client, collection
        try:
            return await maybe_await(command(collection), seconds)
        except expected:
            return None

    def _collection_of(self, client: Any) -> Any:
        # Another w than ours may be asked for by LOCATION or OPTIONS; inspect() says what that means.
        concern = WriteConcern(**{"w": "majority", **client.write_concern.document})
        return client[self._database].get_collection(
            self._collection, read_preference=ReadPreference.PRIMARY, write_concern=concern
        )

    async def read(self, key: str) -> Record | None:
        # The command itself: find_one() makes a cursor first, which takes an eighth of the whole.
        # The TTL monitor runs once a minute, hence the filter.
        command = {
            "find": self._collection,
            "filter": {"_id": key, **_LIVE},
            "projection": _PAYLOAD_ONLY,
            "limit": 1,
            "singleBatch": True,
        }

        def find(collection: Any) -> Any:
            # By itself, a command takes no read concern from LOCATION or OPTIONS.
            concern = collection.read_concern.document
            return collection.database.command({**command, "readConcern": concern} if concern else command)

        answer = await self._run(find)
        for found in answer["cursor"]["firstBatch"]:
            return Record(found["p"], found["p"][VERSION])
        return None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        update = self._update(payload, ttl, version)
        if self._collection not in self._clients.indexed:
            await self._index()
        inserted = await self._run(
            lambda c: c.update_one({"_id": key, **_ABSENT}, update, upsert=True), DuplicateKeyError
        )
        if inserted is None:
            taken_over = await self._run(lambda c: c.update_one({"_id": key, **_EXPIRED}, update))
            return version if taken_over.matched_count else None
        return version

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        update = self._update(payload, ttl, version)
        current = {"_id": key, "v": expected, **_LIVE}
        replaced = await self._run(lambda c: c.update_one(current, update))
        return version if replaced.matched_count else None

    def _update(self, payload: bytes, ttl: int, version: bytes) -> dict[str, Any]:
        if len(payload) > self.max_payload:
            raise SessionTooLarge(f"The session takes {len(payload)} bytes; MongoDB holds at most {self.max_payload}.")
        # For the TTL monitor, which compares it with its own clock: later by what ours may be behind.
        removal = DatetimeMS(int((time.time() + ttl + SKEW) * 1000))
        return {
            "$set": {"v": version, "p": payload, "t": Int64(ttl * 1000), "e": removal},
            "$currentDate": {"w": True},
        }

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        current = {"_id": key, **({} if expected is None else {"v": expected}), **_LIVE}
        deleted = await self._run(lambda c: c.delete_one(current))
        return bool(deleted.deleted_count)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await self._delete_those(list(keys), _LIVE)

    async def _delete_those(self, keys: list[str], condition: Mapping[str, Any]) -> int:
        those = {"_id": {"$in": keys}, **condition}
        deleted = await self._run(lambda c: c.delete_many(those))
        return int(deleted.deleted_count)

    async def exists(self, keys: Iterable[str]) -> set[str]:
        asked = list(keys)
        return set(await self._find({"_id": {"$in": asked}, **_LIVE}, len(asked)))

    async def _find(self, condition: Mapping[str, Any], limit: int, sort: list[str] | None = None) -> list[str]:
        """Return the keys of at most limit records."""
        if not limit:  # which would be no limit
            return []
        # One batch holds them all; the default of 101 would ask again.
        found = await self._run(
            lambda c: c.find(condition, _KEY_ONLY, limit=limit, batch_size=limit, sort=sort).to_list()
        )
        return [document["_id"] for document in found]

    def _left_over(self) -> dict[str, Any]:
        # The bound on e lets the index find them; among these the server's clock decides.
        latest = DatetimeMS(int((time.time() + 2 * SKEW) * 1000))
        return {"e": {"$lte": latest}, **_EXPIRED}

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        """Remove what the TTL monitor has left, which may be a lot where the index was missing."""
        while keys := await self._find(self._left_over(), batch_size):
            if count := await self._delete_those(keys, _EXPIRED):
                yield count

    async def expired(self) -> int:
        return int(await self._run(lambda c: c.count_documents(self._left_over())))

    async def scan(self) -> AsyncIterator[str]:
        last = ""
        while keys := await self._find({"_id": {"$gt": last}, **_LIVE}, PAGE, ["_id"]):
            for key in keys:
                yield key
            last = keys[-1]

    async def _index(self) -> None:
        """Make the TTL index, once a process; a server that refuses it is no reason to refuse sessions."""
        if await self._run(_create_index, OperationFailure) is None:
            logger.warning(
                "The TTL index at %s could not be made; expired sessions stay until purgesessions"
                " runs. checksessions --prepare tells why.",
                self._name,
            )
        self._clients.indexed.add(self._collection)

    async def prepare(self) -> None:
        """Make the TTL index; StoreUnavailable if the server refuses it."""
        await self._run(_create_index)

    async def inspect(self) -> Inspection:
        build = await self._run(lambda c: c.database.command("buildInfo"))
        # The older command is all that mongo-java-server and servers before 4.4.2 know.
        hello = await self._run(lambda c: c.database.command("hello"), OperationFailure)
        hello = hello or await self._run(lambda c: c.database.command("isMaster"))
        indexes = await self._run(lambda c: c.index_information())
        concern = self._clients.get().write_concern.document
        problems = []
        if not any("expireAfterSeconds" in index for index in indexes.values()):
            problems.append("The TTL index is missing, so expired sessions pile up: run checksessions --prepare.")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            problems.append("The server stands alone, and what it has acknowledged is lost with it: use a replica set.")
        if concern.get("w", "majority") != "majority":
            problems.append(
                f"With w={concern['w']} a failover may undo an acknowledged write: leave w out of LOCATION and OPTIONS."
            )
        return Inspection(build["version"], hello["localTime"].timestamp(), tuple(problems))

    def close(self) -> None:
        """Close the process' client, which stores with the same location and options share."""
        self._clients.process.close()


def _create_index(collection: Any) -> Any:
    return collection.create_index("e", name=TTL_INDEX, expireAfterSeconds=0)


def _collection_name(prefix: str) -> str:
    if "$" in prefix or "\0" in prefix or len(prefix.encode()) > 100:
        raise ImproperlyConfigured(
            f"MULTISESSION's KEY_PREFIX {prefix!r} becomes part of a collection's name: at most 100 bytes, without '$'."
        )
    return f"{COLLECTION}_{prefix}" if prefix else COLLECTION
