"""Sealed records by session key: a store with its codec, and the way out of a write whose reply was lost."""

from collections.abc import Callable
from typing import NamedTuple

from ..codec import RecordCodec
from ..envelope import VERSION, Header
from ..exceptions import SessionTooLarge, StoreUnavailable
from ..keys import StorageKeys
from ..stores.base import Record, Store

MAX_PAYLOAD = 4 * 1024 * 1024
"""Bytes of a record, whatever its store would take: one visitor's session that takes longer to read than an answer may
take would open the circuit breaker for all."""


class Snapshot(NamedTuple):
    """A record as it was when read or written, under the storage key ``place``.

    ``token`` is the store's for replacing exactly that.
    """

    plaintext: bytes
    header: Header
    token: bytes
    storage_key: str

    def is_at(self, record: Record) -> bool:
        """Tell whether a record is still this one."""
        return _version(record) == self.header.version


def _version(record: Record) -> bytes:
    return record.payload[VERSION]


class Records:
    """The records of one session name in one store. Every method can raise StoreUnavailable.

    Where a connection broke, as after a server's restart, every method asks once more.
    """

    def __init__(self, store: Store, codec: RecordCodec, prefix: str, session_name: str) -> None:
        self.store = store
        self.storage_key = StorageKeys(prefix, session_name).of
        self._codec = codec
        self._session_name = session_name

    async def read(self, session_key: str) -> Snapshot | None:
        """Return the live record, None if there is none; InvalidRecord if it is not as we wrote it."""
        storage_key = self.storage_key(session_key)
        try:
            record = await self.store.read(storage_key)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            record = await self.store.read(storage_key)
        if record is None:
            return None
        header, plaintext = self._codec.decode(record.payload, storage_key, session_key)
        return Snapshot(plaintext, header, record.token, storage_key)

    async def insert(self, session_key: str, plaintext: bytes, header: Header, ttl: int) -> Snapshot | None:
        """Create the record; None if the key is taken."""
        storage_key = self.storage_key(session_key)
        payload = self._encode(storage_key, session_key, plaintext, header)
        try:
            token = await self.store.insert(storage_key, payload, ttl, header.version)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            # Either the command or its reply was lost: the record tells which.
            record = await self.store.read(storage_key)
            if record is None:
                token = await self.store.insert(storage_key, payload, ttl, header.version)
            else:
                token = record.token if _version(record) == header.version else None
        return None if token is None else Snapshot(plaintext, header, token, storage_key)

    async def replace(
        self,
        session_key: str,
        plaintext: bytes,
        header: Header,
        ttl: int,
        expected: Snapshot,
        *,
        repeatable: Callable[[], bool] = lambda: True,
    ) -> Snapshot | None:
        """Replace the record that is still as expected; None if it is gone or has changed.

        If a reply was lost and somebody else has written since, our change may be in theirs already: the outage is
        raised then, unless making the change again is ``repeatable``.
        """
        storage_key = expected.storage_key
        payload = self._encode(storage_key, session_key, plaintext, header)
        try:
            token = await self.store.replace(storage_key, payload, ttl, expected.token, header.version)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            token = None
            record = await self.store.read(storage_key)
            if record is not None and _version(record) == header.version:
                token = record.token
            elif record is not None and expected.is_at(record):
                token = await self.store.replace(storage_key, payload, ttl, record.token, header.version)
            elif record is not None and not repeatable():
                raise
        return None if token is None else Snapshot(plaintext, header, token, storage_key)

    async def delete(self, session_key: str, expected: Snapshot | None = None) -> bool:
        """Delete the record, with expected only as it was then; return whether it is gone by that.

        After a lost reply, a record that is gone counts as deleted by us.
        """
        storage_key = self.storage_key(session_key)
        token = None if expected is None else expected.token
        try:
            return await self.store.delete(storage_key, token)
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return await self.store.delete(storage_key, token) or not await self.store.exists([storage_key])

    async def exists(self, session_key: str) -> bool:
        storage_key = self.storage_key(session_key)
        try:
            return bool(await self.store.exists([storage_key]))
        except StoreUnavailable as error:
            if not error.retryable:
                raise
            return bool(await self.store.exists([storage_key]))

    def fits(self, plaintext: bytes, header: Header) -> None:
        """Raise SessionTooLarge if the store cannot keep this content."""
        self._encode("", "", plaintext, header)

    def _encode(self, storage_key: str, session_key: str, plaintext: bytes, header: Header) -> bytes:
        payload = self._codec.encode(header, plaintext, storage_key, session_key)
        limit = min(self.store.max_payload or MAX_PAYLOAD, MAX_PAYLOAD)
        if len(payload) > limit:
            raise SessionTooLarge(
                f"Session {self._session_name!r} takes {len(payload)} bytes; {self.store.name} keeps at most {limit}"
            )
        return payload
