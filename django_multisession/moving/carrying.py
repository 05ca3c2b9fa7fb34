"""Carry a session that is found there: insert it here, unless another request was faster, then remove it there.

Only the request that has inserted it removes it. Three others may interfere:

- Another request that carries the same session finds the key taken here, and continues with what is here.
- A process with "CARRY": False writes there, and then looks here. Either it sees what was inserted, and makes its
  change here; or it has written before the removal, which then finds the session changed, and fetches the change.
- Somebody ends the session. Our processes put a tombstone here first, which takes the key. A process without the
  FALLBACK removes the session there only; our removal then finds nothing, and ends what was inserted.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connections, transaction

from ..breaker import report
from ..bridge import driven, run_sync
from ..codec import Header
from ..envelope import ENDED, MOVED, REGISTERED
from ..exceptions import InvalidRecord, SessionTooLarge, StoreUnavailable
from ..keys import SessionKey
from ..sessions.config import SessionConfig
from ..sessions.draft import Draft
from ..sessions.exceptions import SessionConflict
from ..sessions.loaded import Loaded, Moved, Outdated
from ..sessions.merging import Merger
from ..sessions.save_queue import SWAP_ATTEMPTS, back_off
from ..stores.base import Store
from .keys import keys_here
from .places import CARRIED_UNTIL, Places
from .source import Found, Removal, Source


class Incoming(NamedTuple):
    """How a session that was found there is inserted here: the arguments of carry()."""

    key: SessionKey
    plaintext: bytes
    header: Header
    ttl: int


class Carrying(Places):
    """Sessions are created here only; those that are there are carried when they are first loaded."""

    def __init__(self, store: Store, config: SessionConfig, source: Source) -> None:
        super().__init__(store, config, source)
        self._merger = Merger(config)

    async def take(self, key: SessionKey, found: Found) -> Loaded | Moved | Outdated | None:
        carried = await self.bring(key, found)
        return await self.here(key) if carried is None else await self.settle(key, found, carried)

    async def bring(self, key: SessionKey, found: Found) -> Loaded | None:
        """Insert here what was found there, and return it for settle(); None if something is here by now."""
        try:
            return await self.carry(*self.incoming(key, found))
        except SessionTooLarge as error:
            raise _too_large(error) from error

    async def bring_many(self, brought: Sequence[Incoming]) -> list[Loaded | InvalidRecord | None]:
        """Bring several sessions, each as incoming() has returned it; what bring() raises is returned in its place."""
        carried = await self.carry_many(brought)
        return [_too_large(each) if isinstance(each, SessionTooLarge) else each for each in carried]

    def incoming(self, key: SessionKey, found: Found) -> Incoming:
        """Return the insertion for what was found there; InvalidRecord if it cannot be kept here.

        Repeated after an outage, it can be recognised by its version.
        """
        header = self._header(found)
        return Incoming(keys_here(key)[0], self._body(found, **{CARRIED_UNTIL: header.expires_at}), header, found.age)

    async def settle(self, key: SessionKey, found: Found, carried: Loaded) -> Loaded | Moved | Outdated | None:
        """Remove there what was inserted here, once that is committed; return what is here then."""
        alias = self._transaction()
        if alias is None:
            return await self._clear(key, found, carried)

        def clear() -> None:
            run_sync(self._clear(key, found, carried))

        transaction.on_commit(clear, using=alias, robust=True)  # after a rollback it must still be there
        return carried

    async def settle_many(
        self, brought: Sequence[tuple[SessionKey, Found, Loaded]]
    ) -> list[Loaded | Moved | Outdated | None]:
        """Settle several, each given by the arguments of settle(); in an outage, one counts as it was carried."""
        if self._transaction() is not None:
            return [await self.settle(*each) for each in brought]
        try:
            removals = await self.source.remove_many([found for _, found, _ in brought])
        except StoreUnavailable as error:
            report(error)  # see _settled()
            return [carried for *_, carried in brought]
        here: list[Loaded | Moved | Outdated | None] = []
        for (key, _, carried), removal in zip(brought, removals, strict=True):
            try:
                here.append(await self._settled(key, carried, removal))
            except StoreUnavailable as error:
                report(error)
                here.append(carried)
        return here

    def _transaction(self) -> str | None:
        """Return the alias of the transaction in which this thread writes here; None if there is none."""
        alias: Any = getattr(self.store, "alias", None)
        # Transactions belong to threads; what runs in an event loop is in none.
        inside = self.store.transactional and driven() and connections[alias].in_atomic_block
        return alias if inside else None

    async def _clear(self, key: SessionKey, found: Found, carried: Loaded) -> Loaded | Moved | Outdated | None:
        """Remove there what was carried; return what is here then."""
        try:
            removal = await self.source.remove(key.secret, found)
        except StoreUnavailable as error:
            report(error)  # see _settled()
            return carried
        return await self._settled(key, carried, removal)

    async def _settled(self, key: SessionKey, carried: Loaded, removal: Removal) -> Loaded | Moved | Outdated | None:
        """Return what is here, given what has become of the removal there."""
        if removal is Removal.REMOVED:
            return carried
        try:
            if removal is Removal.CHANGED:
                await self._follow(key, carried)
            elif await self._end(carried):
                return None
        except StoreUnavailable as error:
            # The session here counts. What is left there could be loaded only if this one expired before it would have
            # expired there; migratesessions removes it.
            report(error)
            return carried
        return await self.here(key)

    async def _follow(self, key: SessionKey, carried: Loaded) -> None:
        """Make the changes here that are written there, until the session can be removed there."""
        for attempt in range(SWAP_ATTEMPTS):
            await back_off(attempt)
            newer = await self.source.read(key.secret)
            if not isinstance(newer, Found):
                return
            await self._bring(carried, newer)
            if await self.source.remove(key.secret, newer) is not Removal.CHANGED:
                return
            carried = carried._replace(plaintext=self._body(newer))

    async def _bring(self, base: Loaded, newer: Found) -> None:
        """Merge what has changed there since ``base`` into what is here by now."""
        draft = Draft(newer.data, newer.age, lambda data: newer.age, time.time(), newer.options, newer.options)
        for attempt in range(SWAP_ATTEMPTS):
            await back_off(attempt)
            stored = await self.fetch(base.key)
            # The process that has written there may have seen that it was carried, and made the change here.
            if stored is None or self.meaning(stored) is not stored or self._parsed(stored).data == newer.data:
                return
            try:
                merged = self._merger.merge(base, stored, draft)
            except SessionConflict:
                return  # the user was changed on both sides: what is here counts
            plaintext = self._bodies.dump(merged.options, merged.data)
            header = self._header(newer)._replace(flags=stored.header.flags & REGISTERED)
            if await self.replace(stored, plaintext, header, newer.age) is not None:
                return

    async def point(self, expected: Loaded, target: SessionKey, header: Header) -> bool:
        return await self._stand_in(expected, MOVED, target.secret.encode(), header)

    async def set_aside(self, expected: Loaded, header: Header) -> bool:
        return await self._stand_in(expected, ENDED, expected.plaintext, header)

    async def delete(self, key: SessionKey, expected: Loaded | None = None) -> bool:
        """See Records.delete(); a tombstone is left for what may still be there."""
        if expected is not None:
            return await self._end(expected)
        await self._end_all(key)
        return True


def _too_large(error: SessionTooLarge) -> InvalidRecord:
    return InvalidRecord(f"it comes from where its FALLBACK says, and {error}")
