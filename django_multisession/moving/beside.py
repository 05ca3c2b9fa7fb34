"""FALLBACK with "CARRY": False: sessions stay there, and are read, created, changed and ended in the source's format.

So processes without the FALLBACK can go on with them, and the setting can be removed again. But what is here counts
first: tombstones, pointers, and sessions that a process of the next deploy has already carried.

After each write there, this process looks here. If the session was carried meanwhile, it makes the change here, and
removes what it has written there. See carrying.py for the other side.
"""

import hashlib
import os
import time
from collections.abc import Callable

from ..codec import Header
from ..envelope import ENDED, MOVED
from ..exceptions import InvalidRecord, StoreRefused
from ..keys import SessionKey
from ..sessions.config import SessionConfig
from ..sessions.loaded import Elsewhere, Loaded, Moved, Outdated
from ..stores.base import Store
from .keys import keys_here
from .places import Places
from .source import Found, FoundMoved, New, Removal, Source


class Beside(Places):
    """Sessions are created and kept there; those that are here already stay here."""

    def __init__(self, store: Store, config: SessionConfig, source: Source) -> None:
        super().__init__(store, config, source)
        self._left_there: dict[str, str] = {}
        """Session keys, by storage key, of sessions that were written there after they had been carried."""

    async def take(self, key: SessionKey, found: Found) -> Loaded | Moved | Outdated | None:
        plaintext = self._body(found)
        # Equal content has an equal version, by which touch_throttle recognises concurrent requests for one session.
        version = hashlib.blake2b(plaintext, digest_size=8).digest()
        return self._there(key, found, plaintext, self._header(found)._replace(version=version))

    def _there(self, key: SessionKey, found: Found, plaintext: bytes, header: Header) -> Loaded:
        # Where sessions are in cookies, each write makes a new key.
        key = key if key.secret == found.key else self.key(found.key)
        return Loaded(key, plaintext, header, Elsewhere.of(found))

    def _new(self, plaintext: bytes, header: Header, ttl: int) -> New:
        body = self._parsed(plaintext)
        return New(body.data, ttl, header.created_at, header.authenticated_at, body.options)

    async def insert(self, key: SessionKey, plaintext: bytes, header: Header, ttl: int) -> Loaded | None:
        if self.is_over:
            return await super().insert(key, plaintext, header, ttl)
        self.fits(plaintext, header)
        found = await self.source.create(key.secret, self._new(plaintext, header, ttl))
        return None if found is None else self._there(key, found, plaintext, header)

    async def replace(
        self,
        expected: Loaded,
        plaintext: bytes,
        header: Header,
        ttl: int,
        *,
        repeatable: Callable[[], bool] = lambda: True,
    ) -> Loaded | None:
        if not isinstance(expected.token, Elsewhere):
            replaced = await super().replace(expected, plaintext, header, ttl, repeatable=repeatable)
            left = self._left_there.pop(expected.key.storage_key, None)
            if replaced is not None and left is not None:
                await self.source.remove(left)
            return replaced
        if plaintext != expected.plaintext:
            self.fits(plaintext, header)
        found = await self.source.write(expected.token.found, self._new(plaintext, header, ttl))
        if found is None:
            return None
        try:
            stored = await self.fetch(expected.key)
        except InvalidRecord:
            return None  # the caller reads again, and finds out
        if stored is None:
            return self._there(expected.key, found, plaintext, header)
        return await self._overtaken(expected.key, stored, plaintext)

    async def _overtaken(self, key: SessionKey, stored: Loaded, plaintext: bytes) -> Loaded | None:
        """Return the session here if it has the change that was just written there; None if it must be made here."""
        if self.meaning(stored) is not stored:
            # It has ended or changed its key, and the write there has brought it back.
            if not stored.plaintext or await self._confirm(stored):
                await self.source.remove(key.secret)
            return None
        if self._parsed(stored).data == self._parsed(plaintext).data:
            return stored  # the process that has carried it saw the change, and removes it there
        self._left_there[stored.key.storage_key] = key.secret
        return None

    async def point(self, expected: Loaded, target: SessionKey, header: Header) -> bool:
        return await self._replace(expected, MOVED, target.secret.encode(), header)

    async def set_aside(self, expected: Loaded, header: Header) -> bool:
        return await self._replace(expected, ENDED, expected.plaintext, header)

    async def _replace(self, expected: Loaded, flags: int, body: bytes, header: Header) -> bool:
        """Put a pointer or tombstone here for a session that is still as expected, then remove it there."""
        if not isinstance(expected.token, Elsewhere):
            return await self._stand_in(expected, flags, body, header)
        mark = await self.mark(keys_here(expected.key)[0], flags, body, header, self._tombstone_ttl_there(expected))
        if mark is None:
            return False
        if await self.source.remove(expected.key.secret, expected.token.found) is Removal.REMOVED:
            return True
        if await super().delete(mark.key, mark):
            return False
        # If another process has confirmed the mark, it has removed the session there, and nobody has logged out.
        stored = await self.fetch(mark.key)
        return stored is not None and (stored.header.flags & flags, stored.plaintext) == (flags, body)

    async def _confirm(self, mark: Loaded) -> bool:
        """Rewrite the pointer or tombstone that is here; return whether it was still there.

        By the rewrite, the process that had put it here sees that nobody has logged out: this process has written the
        session there, and will now remove it and follow the mark.
        """
        header = mark.header._replace(version=os.urandom(8))
        return await self.remark(mark, mark.header.flags, mark.plaintext, header, self._tombstone_ttl_there(mark))

    async def delete(self, key: SessionKey, expected: Loaded | None = None) -> bool:
        """See Records.delete(). First a tombstone is put here, then the session is removed there."""
        if expected is None:
            await self._end_all(key)
        elif expected.is_here:
            return await self._end(expected)
        elif not await self._ended_here(expected):
            return False
        if self._leads_there(key.secret):
            await self._remove(key, expected)
        return True

    async def _ended_here(self, expected: Loaded) -> bool:
        """Put a tombstone here, unless something is here by now; return whether there was nothing."""
        key, ttl = keys_here(expected.key)[0], self._tombstone_ttl_there(expected)
        try:
            return await self.mark(key, ENDED, b"", self._ended(), ttl) is not None
        except StoreRefused:
            return True  # a full server; the session is at least removed there

    def _tombstone_ttl_there(self, expected: Loaded) -> int:
        # A process without the FALLBACK may prolong it at this moment.
        return self._tombstone_ttl(max(expected.header.expires_at, time.time() + self._age))

    async def _remove(self, key: SessionKey, expected: Loaded | None) -> None:
        found = expected.token.found if expected is not None and isinstance(expected.token, Elsewhere) else None
        if await self.source.remove(key.secret, found) is not Removal.CHANGED:
            return
        newer = await self.source.read(key.secret)
        if isinstance(newer, FoundMoved):
            # A process without the FALLBACK has changed the key; the logout follows it.
            await self.delete(self.key(newer.key))
        await self.source.remove(key.secret)
