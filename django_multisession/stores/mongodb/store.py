"""Sessions in MongoDB 4.2 or later: each is one document, written with majority write concern."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from ...bridge import native_loop
from ...deadline import left
from ...envelope import VERSION
from ...exceptions import SessionTooLarge
from ..base import ABSENT_KEY, Failure, Inspection, Record, Store, StoreOptions
from .clients import clients_for
from .location import parse

# isort: split
# After the import above, whose error names the extra to install.
from pymongo.errors import (
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from .collection import Collection, create_index
from .diagnosis import failure_of, inspection, mistake_in, root_of
from .documents import (
    ABSENT,
    EXPIRED,
    KEY_ONLY,
    LARGEST,
    LIVE,
    LIVE_SESSION,
    find_command,
    left_over,
    update_to,
)
from .waiting import NoPrimary, in_task, in_time, no_primary

logger = logging.getLogger("django_multisession")

PAGE: Final = 1000
SELECTION: Final = 0.6
"""Seconds to wait for a primary while none is known, if the budget allows it. PyMongo looks for one every half a
second, so that a call with 0.5 s could miss it."""

Command = Callable[[Any], Any]
"""Asks a collection; if that is of an asynchronous client, it returns an awaitable."""


class MongoDBStore(Store):
    """A collection of a MongoDB.

    LOCATION is ``mongodb://host/database`` or ``mongodb+srv://…``. OPTIONS are MongoClient's keywords, and two of the
    store: ``max_idle`` (seconds after which an idle connection is not used again) and ``client`` (the dotted path of a
    function that makes the client, see clients.py). The collection is ``multisession``, with a KEY_PREFIX
    ``multisession_<prefix>``. Reads go to the primary, so that a request sees what the one before it wrote.
    """

    scannable = True
    max_payload = LARGEST

    def __init__(self, options: StoreOptions) -> None:
        self._location = parse(options.location)
        self._collection = Collection(self._location.database, options.prefix)
        super().__init__(options)
        self._clients = clients_for(self._location, options)

    @property
    def name(self) -> str:
        return self._location.shown

    # Asking the server.

    async def _run(
        self, command: Command, expected: type[Exception] | tuple[type[Exception], ...] = (), harmless: bool = False
    ) -> Any:
        """Return what command returns for our collection, or None if it raises an ``expected`` exception.

        ``harmless`` tells that it may run twice, since it changes nothing.
        """
        loop = native_loop()
        if loop is None:
            return await self.call(self._ask, command, expected, harmless)
        client, limit = self._clients.loops.get(loop)
        await limit.acquire(left(self.options.timeout))
        try:
            return await self.call(self._ask_in_loop, client, command, expected)
        finally:
            limit.release()

    async def _ask(self, seconds: float, command: Command, expected: Any, harmless: bool) -> Any:
        client, names = self._clients.process.get()
        if not client.topology_description.has_writable_server():
            seconds = self._longer(seconds)

        def ask() -> Any:
            names.wait_for_primary(client, seconds)
            return command(self._collection.of(client))

        try:
            return in_time(seconds, ask, harmless, self.options.timeout, (NoPrimary,))
        except expected:
            return None
        finally:
            names.done()

    async def _ask_in_loop(self, seconds: float, client: Any, command: Command, expected: Any) -> Any:
        if not client.topology_description.has_writable_server():
            seconds = self._longer(seconds)
        try:
            return await in_task(seconds, lambda: command(self._collection.of(client)))
        except expected:
            return None

    def _longer(self, seconds: float) -> float:
        return max(seconds, min(SELECTION, left(self.options.timeout)))

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        if isinstance(error, TimeoutError | ServerSelectionTimeoutError):
            client = self._clients.get()
            if not client.topology_description.has_writable_server():
                found = no_primary(client)
                error = found if found.__cause__ else error
        if not isinstance(error, PyMongoError):
            return super().failure(error)
        # A name that has never been found is misspelt; one that was found before is an outage.
        mistake = None if self.breaker.answers else mistake_in(root_of(error))
        return (Failure.MISTAKE, mistake) if mistake else failure_of(error)

    async def probe(self, node: Any) -> None:
        command = find_command(self._collection.name, ABSENT_KEY)
        await self._clients.probe(self._location.database, command, self.options.timeout)

    # The operations.

    async def read(self, key: str) -> Record | None:
        # The command itself: find_one() would make a cursor first, an eighth of the time of a read.
        command = find_command(self._collection.name, key)

        def find(collection: Any) -> Any:
            # PyMongo adds no read concern of LOCATION or OPTIONS to a command.
            concern = collection.read_concern.document
            return collection.database.command({**command, "readConcern": concern} if concern else command)

        found = (await self._run(find, harmless=True))["cursor"]["firstBatch"]
        return Record(found[0]["p"], found[0]["p"][VERSION]) if found else None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        update = update_to(payload, ttl)
        if self._collection.name not in self._clients.indexed:
            await self._index()
        inserted = await self._write(
            lambda c: c.update_one({"_id": key, **ABSENT}, update, upsert=True), DuplicateKeyError
        )
        if inserted is None:
            taken_over = await self._write(lambda c: c.update_one({"_id": key, **EXPIRED}, update))
            return version if taken_over.matched_count else None
        return version

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        update = update_to(payload, ttl)
        current = {"_id": key, "v": expected, **LIVE}
        replaced = await self._write(lambda c: c.update_one(current, update))
        return version if replaced.matched_count else None

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        update = update_to(payload, ttl)

        def put(collection: Any) -> Any:
            return collection.update_one({"_id": key}, update, upsert=True)

        # The server may refuse one of two upserts at the same time; repeated, it finds the document.
        if await self._write(put, DuplicateKeyError) is None:
            await self._write(put)

    async def _write(self, command: Command, expected: type[Exception] | tuple[type[Exception], ...] = ()) -> Any:
        try:
            return await self._run(command, expected)
        except DocumentTooLarge as error:
            raise SessionTooLarge(f"The session is larger than this MongoDB takes: {self._location.shown}") from error

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        current = {"_id": key, **({} if expected is None else {"v": expected}), **LIVE}
        deleted = await self._run(lambda c: c.delete_one(current))
        return bool(deleted.deleted_count)

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await self._delete_those(list(keys), LIVE)

    async def _delete_those(self, keys: list[str], condition: Mapping[str, Any]) -> int:
        those = {"_id": {"$in": keys}, **condition}
        deleted = await self._run(lambda c: c.delete_many(those))
        return int(deleted.deleted_count)

    async def exists(self, keys: Iterable[str]) -> set[str]:
        asked = list(keys)
        return set(await self._find({"_id": {"$in": asked}, **LIVE_SESSION}, len(asked)))

    async def _find(self, condition: Mapping[str, Any], limit: int, sort: list[str] | None = None) -> list[str]:
        """Return the keys of at most limit records."""
        if not limit:  # PyMongo takes 0 for no limit
            return []

        def find(collection: Any) -> Awaitable[list[Any]] | list[Any]:
            # All in one batch; the default, of 101 documents, would ask again.
            cursor = collection.find(condition, KEY_ONLY, limit=limit, batch_size=limit, sort=sort)
            keys: Awaitable[list[Any]] | list[Any] = cursor.to_list()
            return keys

        return [document["_id"] for document in await self._run(find, harmless=True)]

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        """Remove what the TTL monitor has left behind, which may be a lot if the index was missing."""
        while keys := await self._find(left_over(), batch_size):
            if count := await self._delete_those(keys, EXPIRED):
                yield count

    async def expired(self) -> int:
        return int(await self._run(lambda c: c.count_documents(left_over()), harmless=True))

    async def scan(self) -> AsyncIterator[str]:
        last = ""
        while keys := await self._find({"_id": {"$gt": last}, **LIVE_SESSION}, PAGE, ["_id"]):
            for key in keys:
                yield key
            last = keys[-1]

    async def _index(self) -> None:
        """Create the TTL index, once in a process. If the server refuses it, sessions work all the same."""
        if await self._run(create_index, OperationFailure) is None:
            logger.warning(
                "The TTL index at %s could not be made; expired sessions stay until purgesessions"
                " runs. checksessions --prepare tells why.",
                self.name,
            )
        self._clients.indexed.add(self._collection.name)

    async def prepare(self) -> None:
        """Create the TTL index; StoreRefused or ImproperlyConfigured if the server refuses it."""
        await self._run(create_index)

    async def inspect(self) -> Inspection:
        return await inspection(partial(self._run, harmless=True), self._clients.get().write_concern.document)

    def close(self) -> None:
        """Close the client of the process, which stores with the same location and options share."""
        self._clients.process.close()
