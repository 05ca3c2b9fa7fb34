"""The source for our own engines that keep sessions on a server."""

import os
import time
from collections.abc import AsyncIterator, Callable

from ...codec import Header
from ...conf import Fallback
from ...envelope import SERVER_SKEW, SKEW
from ...sessions.config import SessionConfig
from ...sessions.loaded import Loaded, Moved
from ...sessions.records import Records
from ...sessions.registration import StoredLogin
from ...stores.base import Store, StoreOptions
from ..source import BY_ITSELF, Found, FoundMoved, New, Removal, Source
from .logins import leave, may_come


class OwnSource(Source):
    """The records of the same session name in another store, or under another KEY_PREFIX."""

    hashes_keys = True

    def __init__(self, fallback: Fallback, store_class: Callable[[StoreOptions], Store]) -> None:
        super().__init__(fallback)
        entry, config = fallback.entry, SessionConfig(fallback.entry)
        options = StoreOptions(entry.location, entry.key_prefix, entry.timeout, entry.options, entry.connect_timeout)
        self._bodies = config.bodies
        self.records = Records(store_class(options), config.record_codec, config.storage_keys, entry.max_size)
        self._skew = SKEW if self.store.local else SERVER_SKEW

    @property
    def store(self) -> Store:
        return self.records.store

    @property
    def name(self) -> str:
        return self.store.name

    @property
    def why_not_scannable(self) -> str:  # type: ignore[override]  # it depends on the store
        if self.store.local:
            return f"its sessions are in the memory of the site's processes: {BY_ITSELF}"
        return "" if self.store.scannable else f"{self.store.name} cannot list its keys: {BY_ITSELF}"

    def accepts(self, key: str) -> bool:
        return self.records.accepts(key)

    async def read(self, key: str) -> Found | FoundMoved | None:
        found = await self.records.read(self.records.key(key))
        if isinstance(found, Moved):
            return FoundMoved(found.key.secret)
        now = time.time()
        # A session that was set aside is for the request that is just changing the password.
        if not isinstance(found, Loaded) or found.header.expired(now, self._skew):
            return None
        body = self._bodies.parse(found.plaintext)
        login = StoredLogin(found.key.storage_key, found.header, body.data.get("_auth_user_id"))
        if not (self.keeps_keys or await may_come(self.fallback.entry.name, login)):
            return None
        return Found(
            key,
            body.data,
            age=max(int(found.header.expires_at - now), 1),
            token=found,
            created_at=found.header.created_at,
            authenticated_at=found.header.authenticated_at,
            options=body.options,
        )

    async def exists(self, key: str) -> bool:
        return await self.records.exists(self.records.key(key))

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        loaded: Loaded | None = None if found is None else found.token
        at = self.records.key(key) if loaded is None else loaded.key
        if await self.records.delete(at, loaded):
            if not self.keeps_keys:
                await leave(at.storage_key)
            return Removal.REMOVED
        return Removal.GONE if loaded is None or await self.records.fetch(at) is None else Removal.CHANGED

    async def shorten(self, found: Found, seconds: int) -> bool:
        loaded: Loaded = found.token
        await leave(loaded.key.storage_key, seconds)
        if found.age <= seconds:
            return await self.records.exists(loaded.key)
        header = self._header(time.time(), seconds, loaded.header.created_at, loaded.header.authenticated_at)
        if await self.records.replace(loaded, loaded.plaintext, header, seconds) is not None:
            return True
        return await self.records.exists(loaded.key)

    async def create(self, key: str, new: New) -> Found | None:
        header = self._header(time.time(), new.age, new.created_at, new.authenticated_at)
        plaintext = self._bodies.dump(new.options, new.data)
        return self._found(await self.records.insert(self.records.key(key), plaintext, header, new.age), new)

    async def write(self, found: Found, new: New) -> Found | None:
        header = self._header(time.time(), new.age, new.created_at, new.authenticated_at)
        plaintext = self._bodies.dump(new.options, new.data)
        return self._found(await self.records.replace(found.token, plaintext, header, new.age), new)

    @staticmethod
    def _found(written: Loaded | None, new: New) -> Found | None:
        if written is None:
            return None
        return Found(written.key.secret, new.data, new.age, written, new.created_at, new.authenticated_at, new.options)

    @staticmethod
    def _header(now: float, age: int, created_at: int, authenticated_at: int) -> Header:
        return Header.new(os.urandom(8), created_at, authenticated_at, now + age, now)

    def scan(self, batch_size: int = 1000) -> AsyncIterator[str]:
        return self.store.scan()

    async def count(self) -> int | None:
        """See Source.count(). By listing them: servers cannot count the live records of one prefix."""
        count = 0
        async for _ in self.store.scan():
            count += 1
        return count

    def close(self) -> None:
        self.store.close()
