"""Records here and a source there as one, for a Repository in the place of Records.

A session is here, there, or ended. What is here counts, and is read first: a session, a pointer, or a tombstone, which
is kept for as long as the session could live there. So a load that finds its session here needs one round trip, as
without a FALLBACK, and a request that is late with what it has read there finds the key taken.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from ..codec import Header
from ..envelope import ENDED, MOVED, SKEW, clamp
from ..exceptions import InvalidRecord, SessionNotSerializable, StoreRefused
from ..keys import SessionKey
from ..sessions.config import SessionConfig
from ..sessions.loaded import Loaded, Moved, Outdated
from ..sessions.records import POINTER_TTL, Records
from ..stores.base import Store
from .keys import cookie_key, keys_here
from .source import Found, FoundMoved, Source

CARRIED_UNTIL: Final = "carried_until"
"""The key, among a body's options, of when the session would have ended there; no cookie attribute has this name."""


class Places(Records):
    """The base of both ways of moving in: carrying.py and beside.py decide about a session that is there."""

    def __init__(self, store: Store, config: SessionConfig, source: Source) -> None:
        super().__init__(store, config.record_codec, config.storage_keys, config.entry.max_size)
        self.source = source
        self.keyring = config.keyring
        self._keys = config.storage_keys
        self._bodies = config.bodies
        self._until = source.fallback.until.timestamp()
        self._age = config.cookie_age()
        # migratesessions copies records as they are, without CARRIED_UNTIL: see copying.py.
        is_alike = source.keeps_keys = source.fallback.entry.key_prefix == config.entry.key_prefix
        self._has_copies = source.hashes_keys and is_alike and not source.why_not_scannable
        self.key = self._key  # in place of StorageKeys.key(), which Records has set
        self._alone = partial(Records, codec=config.record_codec, keys=self._keys, max_size=config.entry.max_size)

    @property
    def is_over(self) -> bool:
        """Whether UNTIL has passed, so that the source is no longer asked."""
        return time.time() >= self._until

    def _key(self, session_key: str) -> SessionKey:
        if self.source.in_cookies and self._leads_there(session_key):
            return cookie_key(session_key, self.keyring, self._keys)
        return self._keys.key(session_key)

    def _leads_there(self, secret: str) -> bool:
        return not self.is_over and self.source.accepts(secret)

    def alone(self) -> Records:
        return self._alone(self.store)

    def accepts(self, secret: str) -> bool:
        return super().accepts(secret) or self._leads_there(secret)

    async def read(self, key: SessionKey) -> Loaded | Moved | Outdated | None:
        """See Records.read(). What is not here is read there."""
        stored = await self.fetch(key)
        if stored is not None:
            return self.meaning(stored)
        if not self._leads_there(key.secret):
            return None
        found = await self.source.look(key.secret)
        if isinstance(found, FoundMoved):
            return Moved(self.key(found.key))
        # What is in neither place may have been carried between the two reads.
        return await self.here(key) if found is None else await self.take(key, found)

    async def here(self, key: SessionKey) -> Loaded | Moved | Outdated | None:
        """Return what is here; see Records.read()."""
        stored = await self.fetch(key)
        return None if stored is None else self.meaning(stored)

    async def take(self, key: SessionKey, found: Found) -> Loaded | Moved | Outdated | None:
        """Return the session for what was found there, and not here."""
        raise NotImplementedError

    async def fetch(self, key: SessionKey) -> Loaded | None:
        """See Records.fetch()."""
        for one in keys_here(key):
            stored = await super().fetch(one)
            if stored is not None:
                return stored
        return None

    def meaning(self, stored: Loaded) -> Loaded | Moved | Outdated | None:
        """See Records.meaning(). A pointer, or a session that was set aside, is a tombstone once it has expired."""
        flags = stored.header.flags
        if flags & (ENDED | MOVED) and stored.header.expired(time.time()):
            return None
        return super().meaning(stored)

    async def exists(self, key: SessionKey) -> bool:
        for one in keys_here(key):
            if await super().exists(one):
                return True
        # A tombstone here means that the session has ended, whatever is there.
        if not self._leads_there(key.secret) or await self.fetch(key) is not None:
            return False
        return await self.source.exists(key.secret) or await super().exists(keys_here(key)[0])

    async def delete_many(self, storage_keys: Iterable[str]) -> int:
        """End sessions by their storage keys; return how many of them were here."""
        ended = list(storage_keys)
        there_were = await self.store.exists(ended)
        for storage_key in ended:
            await self.end(storage_key, self._ended(), self._tombstone_ttl())
        return len(there_were)

    # Converting a session that was found there.

    def _body(self, found: Found, **options: Any) -> bytes:
        try:
            return self._bodies.dump({**found.options, **options}, found.data)
        except SessionNotSerializable as error:
            raise InvalidRecord(f"it comes from where its FALLBACK says, and {error}") from error

    @staticmethod
    def _header(found: Found) -> Header:
        now = time.time()
        created_at = found.created_at or now
        return Header.new(os.urandom(8), created_at, found.authenticated_at, now + found.age, now)

    # Tombstones and pointers here. Their life is bounded by how long the session may live there.

    def _tombstone_ttl(self, until: float | None = None) -> int:
        """Return the ttl of a tombstone for a session that may live there until a moment; None if that is not known.

        UNTIL alone does not bound it: it may be set to a later day.
        """
        now = time.time()
        last = max(self._until, now + self._age) if until is None else until
        return max(int(last - now) + SKEW, POINTER_TTL)

    def _tombstone_ttl_of(self, stored: Loaded) -> int | None:
        """Return the ttl of a tombstone for a session that is here; None if it cannot be there as well.

        A walk that was stopped leaves the last record that it has copied in both places.
        """
        try:
            until: float | None = self._parsed(stored).options.get(CARRIED_UNTIL)
        except InvalidRecord:
            return self._tombstone_ttl()  # its serializer cannot read it any more, but it must end all the same
        if until is None:
            until = max(stored.header.expires_at, time.time() + self._age)
            return self._tombstone_ttl(until) if self._has_copies else None
        return self._tombstone_ttl(until)

    @staticmethod
    def _ended() -> Header:
        now = clamp(time.time())
        return Header.new(os.urandom(8), 0, 0, now, now)

    async def _stand_in(self, expected: Loaded, flags: int, body: bytes, header: Header) -> bool:
        """Replace a session here, if it is still as expected, by a pointer or tombstone; return whether it was."""
        return await self.remark(expected, flags, body, header, self._tombstone_ttl_of(expected) or POINTER_TTL)

    async def _end(self, expected: Loaded) -> bool:
        """End a session here, if it is still as expected; return whether it was."""
        ttl = self._tombstone_ttl_of(expected)
        if ttl is not None:
            with suppress(StoreRefused):  # a full server still deletes
                return await self.remark(expected, ENDED, b"", self._ended(), ttl)
        return await super().delete(expected.key, expected)

    async def _end_all(self, key: SessionKey) -> None:
        for one in keys_here(key):
            await self.end(one.storage_key, self._ended(), self._tombstone_ttl())

    def _parsed(self, stored: Loaded | bytes) -> Any:
        return self._bodies.parse(stored if isinstance(stored, bytes) else stored.plaintext)
