"""Sessions in a store: how they are read, and how changes are saved while others change the same session.

Bodies for both colours (see bridge.py), which know nothing of Django's SessionBase: they take a Draft of what to store,
and return what the store holds now.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from ..codec import Header
from ..deadline import left
from ..envelope import SERVER_SKEW, SKEW
from ..exceptions import InvalidRecord, SessionTooLarge, StoreUnavailable
from ..keys import SessionKey
from ..runtime import monotonic
from . import save_queue, touch_throttle
from .body import NONE, Body
from .config import SessionConfig
from .draft import Draft
from .exceptions import SessionConflict, SessionEnded
from .loaded import Loaded, Moved, Outdated, Saved
from .merging import Merger
from .pointers import follow
from .records import Records
from .save_queue import SWAP_ATTEMPTS, back_off, exclusive
from .unreadable import report_unreadable


class Repository:
    """The sessions of one session name in one store."""

    def __init__(self, records: Records, config: SessionConfig) -> None:
        self.records = records
        self._config = config
        self._bodies = config.bodies
        self._merger = Merger(config)
        self._most_keys = config.entry.max_keys
        self.name = config.name
        self.timeout = config.entry.timeout
        self.tracks_reads = config.is_strict
        self._lifetime = config.lifetime
        self._writes_alike = config.writes_alike
        self._skew = SKEW if records.store.local else SERVER_SKEW

    # Reading.

    async def load(self, key: SessionKey, now: float) -> tuple[Loaded, Body] | Moved | Outdated | None:
        """Return the live session under a key, with its body; InvalidRecord if it cannot be read."""
        found = await self.records.read(key)
        if not isinstance(found, Loaded):
            return found
        if now > found.header.expires_at + self._skew:
            return None
        if not self._lifetime.is_unlimited and self._lifetime.is_over(found.header, now, None, 0):
            return None
        return found, self._bodies.parse(found.plaintext)

    def parse(self, loaded: Loaded) -> Body:
        """Parse the body as it was loaded: a new object each time."""
        return self._bodies.parse(loaded.plaintext)

    # Writing.

    async def insert(self, key: SessionKey, draft: Draft, previous: Loaded | None) -> Saved | None:
        """Create the session; None if the key is taken. ``previous`` is what it continues under a new key."""
        plaintext = self._dump(draft)
        header = self._header(draft, previous, is_new=True)
        try:
            loaded = await self.records.insert(key, plaintext, header, draft.age)
        except SessionTooLarge as error:
            raise self._bodies.too_large(error, draft.data) from error
        return loaded and Saved(loaded, Body(draft.options, draft.data))

    async def save(self, loaded: Loaded, draft: Draft) -> Saved:
        """Store what has changed since the session was loaded, merged with what others have changed meanwhile.

        Raises SessionEnded if the session is gone, SessionConflict if its changes must not be merged, SessionTooLarge
        and SessionNotSerializable for data that cannot be kept.
        """
        plaintext = self._dump(draft)
        if plaintext == loaded.plaintext or (not self._writes_alike and self._merger.is_unchanged(loaded, plaintext)):
            return await self._touch(loaded, draft)
        if not self._is_contended(loaded.key):
            written = await self._swap(loaded, draft, plaintext)
            if written is not None:
                return written
        # Those in the queue would never win against others that need not enter it.
        return await self.merge_in(loaded.key, loaded, draft)

    async def replace_all(self, key: SessionKey, loaded: Loaded | None, draft: Draft) -> Saved:
        """Replace whatever session is stored under a key; raises as save() does."""
        if loaded is not None and not self._is_contended(key):
            written = await self._swap(loaded, draft, self._dump(draft))
            if written is not None:
                return written
        return await self.merge_in(key, None, draft)

    async def delete(self, key: SessionKey, loaded: Loaded | None) -> list[str]:
        """Delete a session for good, even if its key has changed meanwhile; return the storage keys that it had."""
        had: list[str] = []
        async with AsyncExitStack() as turns:
            for attempt in range(SWAP_ATTEMPTS):
                had.append(key.storage_key)
                # Only at the token that was read: a pointer may be there now, and its target must be deleted too.
                if loaded is not None and await self.records.delete(key, loaded):
                    return had
                # Others that write the session all the time must wait meanwhile.
                await turns.enter_async_context(exclusive(key.storage_key, left(self.timeout)))
                # Before the read, not after it: other processes go on writing, and what was read is soon outdated.
                await back_off(attempt)
                try:
                    found = await self.records.read(key)
                except InvalidRecord as reason:
                    report_unreadable(self.name, reason)
                    await self.records.delete(key)
                    return had
                if found is None:
                    return had
                there = found.loaded if isinstance(found, Outdated) else found
                key, loaded = (there.key, None) if isinstance(there, Moved) else (key, there)
        raise self.too_busy()

    def validate(self, draft: Draft) -> None:
        """Raise what a save would raise for data that cannot be kept. Does no I/O."""
        plaintext = self._dump(draft)
        header = self._header(draft, None)
        try:
            self.records.fits(plaintext, header)
        except SessionTooLarge as error:
            raise self._bodies.too_large(error, draft.data) from error

    # Merging.

    async def merge_in(self, key: SessionKey, base: Loaded | None, draft: Draft) -> Saved:
        """Save over what is stored now, merging in what others have changed since ``base``; None merges nothing."""
        ends = monotonic() + self.timeout
        async with exclusive(key.storage_key, left(self.timeout)):
            for attempt in range(SWAP_ATTEMPTS):
                await back_off(attempt)
                stored, ours = await self._current(key, base, draft), self._dump(draft)
                merged = self.merged(base, stored, draft)
                written = await self._swap(stored, merged, self._dump(merged))
                if written is not None:
                    return written if base is None else self._with_later(written, ours, draft)
                if monotonic() > ends:  # merging itself may take long, which is no waiting and counts nowhere else
                    break
        raise self.too_busy()

    def merged(self, base: Loaded | None, stored: Loaded, draft: Draft, *, rotates: bool = False) -> Draft:
        """Return a draft merged with what others have changed since ``base``; if that is None, with no data of theirs.

        ``rotates`` tells that the draft is saved under a new key.
        """
        if base is not None:
            body = self._merger.merge(base, stored, draft, rotates=rotates)
        else:
            body = Body({**self.parse(stored).options, **draft.new_options}, draft.data)
        return draft.with_data(body.data)._replace(options=body.options, new_options=NONE)

    def _with_later(self, saved: Saved, ours: bytes, draft: Draft) -> Saved:
        """Return the result of a merge, with what other tasks of this request have changed while it was written."""
        if self._dump(draft) == ours:
            return saved
        return saved._replace(body=self._merger.merge(saved.loaded._replace(plaintext=ours), saved.loaded, draft))

    def dump(self, options: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
        """Return the bytes of a body."""
        return self._bodies.dump(options, data)

    def nothing(self, loaded: Loaded) -> Loaded:
        """Return what an empty session would have been loaded as, to merge with."""
        return loaded._replace(plaintext=self._bodies.dump(NONE, {}))

    async def _current(self, key: SessionKey, base: Loaded | None, draft: Draft) -> Loaded:
        """Return the session under a key, or where its pointer leads if that is the same user's; else SessionEnded."""
        found, followed = await follow(self.look, key)
        # The key of another's session must never reach a browser that only knew an older key: session fixation.
        if found is None or (followed and not draft.may_continue(self.parse(found), base and self.parse(base))):
            raise self.ended()
        return found

    async def look(self, key: SessionKey) -> Loaded | Moved | Outdated | None:
        """Return what is stored under a key now; SessionConflict if it has become unreadable."""
        try:
            return await self.records.read(key)
        except InvalidRecord as reason:
            report_unreadable(self.name, reason)
            raise SessionConflict(
                f"Session {self.name!r} was changed meanwhile by what we cannot read: {reason}"
            ) from reason

    # Swapping.

    async def _swap(self, stored: Loaded, draft: Draft, plaintext: bytes) -> Saved | None:
        def repeatable() -> bool:
            # Merging a change twice does no harm, unless a rule applies; but "strict" would take it for somebody else's
            # change (decisions.md, D15).
            return not self._config.is_strict and draft.data.keys().isdisjoint(self._merger.rules(draft))

        header = self._header(draft, stored)
        try:
            written = await self.records.replace(stored, plaintext, header, draft.age, repeatable=repeatable)
        except SessionTooLarge as error:
            raise self._bodies.too_large(error, draft.data) from error
        return written and Saved(written, Body(draft.options, draft.data))

    def _header(
        self, draft: Draft, previous: Loaded | None, *, is_new: bool = False, is_bounded: bool = True
    ) -> Header:
        """Return the header of a draft that is about to be written; SessionTooLarge if it has too many keys."""
        if is_bounded and len(draft.data) > self._most_keys:
            raise self._bodies.too_many(len(draft.data), self._most_keys)
        before, users = previous and previous.header, (draft.data.get("_auth_user_id"), draft.user_before)
        return Header.continuing(before, draft.now, draft.age, users, registers=draft.is_registered, is_new=is_new)

    async def _touch(self, loaded: Loaded, draft: Draft) -> Saved:
        """Prolong an unchanged session if that is due.

        If somebody else has written it meanwhile, that has prolonged it; an outage is ignored.
        """
        body, storage_key = Body(draft.options, draft.data), loaded.key.storage_key
        if not touch_throttle.is_due(loaded, draft, draft.age) or not touch_throttle.claim(
            storage_key, loaded.header.version
        ):
            return Saved(loaded, body, written=False)
        header = self._header(draft, loaded, is_bounded=False)
        try:
            written = await self.records.replace(loaded, loaded.plaintext, header, draft.age)
        except BaseException as error:
            touch_throttle.release(storage_key)
            if isinstance(error, StoreUnavailable):
                return Saved(loaded, body, written=False)
            raise
        return Saved(written or loaded, body, written=written is not None)

    def _dump(self, draft: Draft) -> bytes:
        return self._bodies.dump(draft.options, draft.data)

    def _is_contended(self, key: SessionKey) -> bool:
        return bool(save_queue.queues.value.present) and save_queue.contended(key.storage_key)

    def ended(self) -> SessionEnded:
        """Return the error for a session that is gone."""
        return SessionEnded(f"Session {self.name!r} was deleted meanwhile.")

    def too_busy(self) -> SessionConflict:
        """Return the error for a save that others have overtaken too often."""
        return SessionConflict(f"Session {self.name!r} was changed by others too often while it was being saved.")
