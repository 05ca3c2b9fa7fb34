"""Sealed records by session key: a store with its codec, and the way out of a call whose reply was lost."""

import os
from collections.abc import Callable
from typing import Final

from ..codec import RecordCodec
from ..envelope import ENDED, MOVED, VERSION, Header, clamp
from ..exceptions import SessionTooLarge, StoreUnavailable
from ..keys import SessionKey, StorageKeys
from ..stores.base import Record, Store
from .loaded import Loaded, Moved, Outdated

POINTER_TTL: Final = 60
"""Seconds that a pointer stands where a session was before its key changed: as long as a request may be under way."""


def replacing(loaded: Loaded, now: float) -> Header:
    """Return the header of what stands for POINTER_TTL in place of a session."""
    issued_at = clamp(now)
    return Header.new(os.urandom(8), loaded.header.created_at, 0, clamp(issued_at + POINTER_TTL), issued_at)


def _is_at(record: Record | None, version: bytes) -> bool:
    return record is not None and record.payload[VERSION] == version


class Records:
    """The records of one session name in one store. Every method can raise StoreUnavailable.

    Where a connection was lost, as after a server's restart, every method asks once more; a write looks first whether
    it has happened. Our own write is known by the version in its header.
    """

    def __init__(self, store: Store, codec: RecordCodec, keys: StorageKeys, max_size: int) -> None:
        self.store = store
        self.key = keys.key
        self._codec = codec
        self._max_size = max_size

    async def read(self, key: SessionKey) -> Loaded | Moved | Outdated | None:
        """Return what is live under a key, None for nothing or a tombstone; InvalidRecord if we did not write it."""
        try:
            record = await self.store.read(key.storage_key)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            record = await self.store.read(key.storage_key)
        if record is None:
            return None
        header, plaintext = self._codec.decode(record.payload, key)
        if header.flags & ENDED:
            return Outdated(Loaded(key, plaintext, header, record.token)) if plaintext else None
        if header.flags & MOVED:
            return Moved(self.key(plaintext.decode()))
        return Loaded(key, plaintext, header, record.token)

    async def insert(self, key: SessionKey, plaintext: bytes, header: Header, ttl: int) -> Loaded | None:
        """Create the record; None if the key is taken."""
        payload = self._encode(key, plaintext, header)
        try:
            token = await self.store.insert(key.storage_key, payload, ttl, header.version)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
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
        """Replace the record that is still as expected; None if it is gone or has changed.

        If a reply was lost and somebody else has written since, our change may be in theirs already: the outage is
        raised then, unless making the change again is ``repeatable``.
        """
        unchanged = plaintext == expected.plaintext  # what is stored already may be prolonged, however large it is
        payload = self._encode(expected.key, plaintext, header, bounded=not unchanged)
        token = await self._swap(expected, payload, ttl, header.version, repeatable)
        return None if token is None else Loaded(expected.key, plaintext, header, token)

    async def point(self, expected: Loaded, target: SessionKey, header: Header) -> bool:
        """Put a pointer to another key where the record is still as expected; return whether it was."""
        payload = self._codec.encode(header, target.secret.encode(), expected.key, MOVED)
        return await self._swap(expected, payload, POINTER_TTL, header.version, lambda: True) is not None

    async def set_aside(self, expected: Loaded, header: Header) -> bool:
        """Put a tombstone with what it held in place of a record that is still as expected; return whether it was."""
        payload = self._codec.encode(header, expected.plaintext, expected.key, ENDED)
        return await self._swap(expected, payload, POINTER_TTL, header.version, lambda: True) is not None

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
        """Delete the record, with expected only as it was then; return whether it is gone by that.

        After a lost reply, a record that is gone counts as deleted by us.
        """
        token = None if expected is None else expected.token
        try:
            return await self.store.delete(key.storage_key, token)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return await self.store.delete(key.storage_key, token) or await self.store.read(key.storage_key) is None

    async def exists(self, key: SessionKey) -> bool:
        try:
            return bool(await self.store.exists([key.storage_key]))
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return bool(await self.store.exists([key.storage_key]))

    def fits(self, plaintext: bytes, header: Header) -> None:
        """Raise SessionTooLarge if the store cannot keep this body."""
        self._encode(SessionKey("", ""), plaintext, header)

    def _encode(self, key: SessionKey, plaintext: bytes, header: Header, *, bounded: bool = True) -> bytes:
        payload = self._codec.encode(header, plaintext, key)
        if not bounded:
            return payload
        limit = min(self.store.max_payload or self._max_size, self._max_size)
        if len(payload) > limit:
            raise SessionTooLarge(f"takes {len(payload)} bytes; {self.store.name} keeps at most {limit}")
        return payload
