"""Encoded records by session key: a store with its codec, and the retry of calls whose reply was lost."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..codec import Header, RecordCodec
from ..envelope import ENDED, MOVED, VERSION, clamp
from ..exceptions import SessionTooLarge, StoreUnavailable
from ..keys import SessionKey, StorageKeys, looks_like_a_key
from ..stores.base import Insertion, Record, Store
from .loaded import Loaded, Moved, Outdated

POINTER_TTL: Final = 60
"""Seconds that a pointer is kept under the old key of a session: as long as a request with it may be under way."""


def replacing(loaded: Loaded, now: float) -> Header:
    """Return the header of a pointer or tombstone that replaces a session for POINTER_TTL."""
    issued_at = clamp(now)
    return Header.new(os.urandom(8), loaded.header.created_at, 0, clamp(issued_at + POINTER_TTL), issued_at)


def _is_at(record: Record | None, version: bytes) -> bool:
    return record is not None and record.payload[VERSION] == version


class Records:
    """The records of one session name in one store. Every method that does I/O can raise StoreUnavailable.

    After a lost connection, as by a server's restart, each call is repeated once. A write first reads whether it has
    already happened: it recognises itself by the version in its header.
    """

    def __init__(self, store: Store, codec: RecordCodec, keys: StorageKeys, max_size: int) -> None:
        self.store = store
        self.key = keys.key
        self._codec = codec
        self._max_size = max_size

    def alone(self) -> "Records":
        """Return the records of this store alone, without those of a FALLBACK."""
        return self

    def accepts(self, secret: str) -> bool:
        """Tell whether a session key can lead to a session."""
        return looks_like_a_key(secret) is not None

    async def read(self, key: SessionKey) -> Loaded | Moved | Outdated | None:
        """Return what is live under a key; None for nothing or a tombstone. InvalidRecord if it cannot be read."""
        stored = await self.fetch(key)
        return None if stored is None else self.meaning(stored)

    async def fetch(self, key: SessionKey) -> Loaded | None:
        """Return what is stored under a key: a session, a pointer or a tombstone; None for nothing."""
        try:
            record = await self.store.read(key.storage_key)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            record = await self.store.read(key.storage_key)
        if record is None:
            return None
        header, plaintext = self._codec.decode(record.payload, key)
        return Loaded(key, plaintext, header, record.token)

    def meaning(self, stored: Loaded) -> Loaded | Moved | Outdated | None:
        """Return what a stored record means for its session; None for a tombstone."""
        flags = stored.header.flags
        if flags & ENDED:
            return Outdated(stored) if stored.plaintext else None
        if flags & MOVED:
            return Moved(self.key(stored.plaintext.decode()))
        return stored

    async def insert(self, key: SessionKey, plaintext: bytes, header: Header, ttl: int) -> Loaded | None:
        """Create the record; None if the key is taken."""
        return await self._put(key, plaintext, header, ttl, self._encode(key, plaintext, header, self._limit))

    async def carry(self, key: SessionKey, plaintext: bytes, header: Header, ttl: int) -> Loaded | None:
        """See insert(); for a session that comes from a FALLBACK, which may exceed MAX_SIZE."""
        payload = self._encode(key, plaintext, header, self.store.max_payload)
        return await self._put(key, plaintext, header, ttl, payload)

    async def carry_many(
        self, carried: Sequence[tuple[SessionKey, bytes, Header, int]]
    ) -> list[Loaded | SessionTooLarge | None]:
        """Carry several sessions, each given by the arguments of carry(); what it raises is returned in its place."""
        payloads = [self._carried(*each) for each in carried]
        fitting = [
            (*each, payload) for each, payload in zip(carried, payloads, strict=True) if isinstance(payload, bytes)
        ]
        put = iter(await self._put_many(fitting))
        return [next(put) if isinstance(payload, bytes) else payload for payload in payloads]

    def _carried(self, key: SessionKey, plaintext: bytes, header: Header, ttl: int) -> bytes | SessionTooLarge:
        try:
            return self._encode(key, plaintext, header, self.store.max_payload)
        except SessionTooLarge as error:
            return error

    async def _put_many(self, each: Sequence[tuple[SessionKey, bytes, Header, int, bytes]]) -> list[Loaded | None]:
        insertions = [Insertion(key.storage_key, payload, ttl, header.version) for key, _, header, ttl, payload in each]
        try:
            tokens = await self.store.insert_many(insertions)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return [await self._put_again(*one) for one in each]
        return [
            None if token is None else Loaded(key, plaintext, header, token)
            for (key, plaintext, header, *_), token in zip(each, tokens, strict=True)
        ]

    async def mark(self, key: SessionKey, flags: int, body: bytes, header: Header, ttl: int) -> Loaded | None:
        """Write a pointer or tombstone under a key that has nothing; None if the key is taken."""
        return await self._put(key, body, header, ttl, self._codec.encode(header, body, key, flags))

    async def _put(self, key: SessionKey, plaintext: bytes, header: Header, ttl: int, payload: bytes) -> Loaded | None:
        try:
            token = await self.store.insert(key.storage_key, payload, ttl, header.version)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return await self._put_again(key, plaintext, header, ttl, payload)
        return None if token is None else Loaded(key, plaintext, header, token)

    async def _put_again(
        self, key: SessionKey, plaintext: bytes, header: Header, ttl: int, payload: bytes
    ) -> Loaded | None:
        record = await self.store.read(key.storage_key)
        if record is None:
            token = await self.store.insert(key.storage_key, payload, ttl, header.version)
        else:
            token = record.token if _is_at(record, header.version) else None
        return None if token is None else Loaded(key, plaintext, header, token)

    async def replace(
        self,
        expected: Loaded,
        plaintext: bytes,
        header: Header,
        ttl: int,
        *,
        repeatable: Callable[[], bool] = lambda: True,
    ) -> Loaded | None:
        """Replace the record if it is still as expected; None if it is gone or has changed.

        If the reply was lost, and somebody else has written since, their write may already include our change. Then the
        outage is raised, unless it does no harm to make the change twice (``repeatable``).
        """
        # An unchanged session may be prolonged, however large it is.
        limit = None if plaintext == expected.plaintext else self._limit
        payload = self._encode(expected.key, plaintext, header, limit)
        token = await self._swap(expected, payload, ttl, header.version, repeatable)
        return None if token is None else Loaded(expected.key, plaintext, header, token)

    async def point(self, expected: Loaded, target: SessionKey, header: Header) -> bool:
        """Replace a record, if it is still as expected, by a pointer to another key; return whether it was."""
        return await self.remark(expected, MOVED, target.secret.encode(), header, POINTER_TTL)

    async def set_aside(self, expected: Loaded, header: Header) -> bool:
        """Replace a record, if it is still as expected, by a tombstone with its content; return whether it was."""
        return await self.remark(expected, ENDED, expected.plaintext, header, POINTER_TTL)

    async def remark(self, expected: Loaded, flags: int, body: bytes, header: Header, ttl: int) -> bool:
        """Replace a record, if it is still as expected, by a pointer or tombstone; return whether it was."""
        payload = self._codec.encode(header, body, expected.key, flags)
        return await self._swap(expected, payload, ttl, header.version, lambda: True) is not None

    async def _swap(
        self, expected: Loaded, payload: bytes, ttl: int, version: bytes, repeatable: Callable[[], bool]
    ) -> bytes | None:
        storage_key = expected.key.storage_key
        lost: StoreUnavailable | None = None
        try:
            return await self.store.replace(storage_key, payload, ttl, expected.token, version)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            lost = error
        record = await self.store.read(storage_key)
        if record is None:
            return None
        if _is_at(record, version):
            return record.token
        if _is_at(record, expected.header.version):
            return await self.store.replace(storage_key, payload, ttl, record.token, version)
        if not repeatable():
            raise lost
        return None

    async def delete(self, key: SessionKey, expected: Loaded | None = None) -> bool:
        """Delete the record, with ``expected`` only if it is still that; return whether this has deleted it.

        After a lost reply, a record that is gone counts as deleted by us.
        """
        token = None if expected is None else expected.token
        try:
            return await self.store.delete(key.storage_key, token)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return await self.store.delete(key.storage_key, token) or await self.store.read(key.storage_key) is None

    async def end(self, storage_key: str, header: Header, ttl: int) -> None:
        """Write a tombstone under a storage key, whatever is there."""
        payload = self._codec.encode(header, b"", SessionKey("", storage_key), ENDED)
        try:
            await self.store.end(storage_key, payload, ttl)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            await self.store.end(storage_key, payload, ttl)

    async def delete_many(self, storage_keys: Iterable[str]) -> int:
        """Delete records by their storage keys; return how many there were."""
        return await self.store.delete_many(storage_keys)

    async def exists(self, key: SessionKey) -> bool:
        try:
            return bool(await self.store.exists([key.storage_key]))
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return bool(await self.store.exists([key.storage_key]))

    def fits(self, plaintext: bytes, header: Header) -> None:
        """Raise SessionTooLarge if the store cannot keep this body."""
        self._encode(SessionKey("", ""), plaintext, header, self._limit)

    @property
    def _limit(self) -> int:
        return min(self.store.max_payload or self._max_size, self._max_size)

    def _encode(self, key: SessionKey, plaintext: bytes, header: Header, limit: int | None) -> bytes:
        payload = self._codec.encode(header, plaintext, key)
        if limit is not None and len(payload) > limit:
            by = "MAX_SIZE allows" if limit == self._max_size else f"{self.store.name} keeps at most"
            raise SessionTooLarge(f"takes {len(payload)} bytes; {by} {limit}")
        return payload
