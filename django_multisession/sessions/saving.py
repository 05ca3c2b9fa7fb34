"""What save() and cycle_key() write, and what becomes of the changes that others made meanwhile."""

import random
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, cast

from django.contrib.sessions.backends.base import CreateError, UpdateError

from ..bridge import driven, pause
from ..envelope import SKEW, clamp
from ..exceptions import InvalidRecord, SessionConflict, SessionTooLarge, StoreUnavailable
from ..merge import MergeConflict, Rule, append, merge
from . import body, touch_throttle
from .base import MultisessionBase, logger
from .records import Records, Snapshot
from .save_queue import contended, exclusive
from .tracking import TrackedDict

SWAP_ATTEMPTS = 64
LONGEST_PAUSE = 0.032
"""Seconds that a save waits at most before it tries again on a session that others write as well."""


class Saving(MultisessionBase):
    """The bodies behind save() and cycle_key() of ServerSession."""

    _loaded: Snapshot | None = None
    _replaces_all = False

    @classmethod
    def records(cls) -> Records:
        """Return the records of this session name."""
        raise NotImplementedError

    def clear(self) -> None:
        """Empty the session; what save() writes then replaces everything that is stored."""
        super().clear()
        self._replaces_all = True
        self._unreadable = False

    def prepare(self) -> None:
        """Raise now what save() would raise of data that cannot be kept."""
        data = self.__dict__.get("_session_cache")
        if data is not None:
            header = self._header(data, 1, None)
            try:
                self.records().fits(self._dump(data), header)
            except SessionTooLarge as error:
                raise self._explained(error, data) from error

    async def _data(self) -> dict[str, Any]:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self._session_cache = {} if self.session_key is None else await self._own("load")
        return self._session_cache

    def _settle(self, snapshot: Snapshot | None, data: dict[str, Any]) -> dict[str, Any]:
        """Note that the store holds snapshot, which is data, and return data as the session keeps it."""
        self._loaded = snapshot
        self._loaded_user = data.get("_auth_user_id")
        self._settle_options()
        self._replaces_all = False
        return TrackedDict(data) if self.entry().on_conflict == "strict" else data

    def _own(self, method: str, *args: Any) -> Coroutine[Any, Any, Any]:
        """Call a public method in the colour of the body that asks, as bridge.own() does."""
        raise NotImplementedError

    async def _write(self) -> None:
        data = self._session_cache if hasattr(self, "_session_cache") else await self._data()
        if self._unreadable:
            # The record stays for the process that can read it, as in a rolling deploy with a new secret.
            if data:
                await self._own("create")
            return
        if self.session_key is None:
            raise UpdateError(f"Session {self.session_name!r} was deleted.")
        loaded, plaintext = self._loaded, self._dump(data)
        age = int(self.get_expiry_age() if driven() else await self.aget_expiry_age())
        if age <= 0:
            await self._own("delete")
        elif loaded is None or self._replaces_all:
            await self._replace_all(data, plaintext, age)
        elif plaintext != loaded.plaintext:
            await self._replace(data, plaintext, age, loaded, base=loaded)
        elif self._touch_is_due(loaded, data, age):
            await self._touch(loaded, age)

    async def _insert(self) -> None:
        data = self._session_cache = getattr(self, "_session_cache", {})
        plaintext = self._dump(data)
        age = int(self.get_expiry_age() if driven() else await self.aget_expiry_age())
        if age <= 0:
            return
        previous = None if self._loaded is None else self._loaded.header
        key, header = cast(str, self.session_key), self._header(data, age, previous)
        try:
            written = await self.records().insert(key, plaintext, header, age)
        except SessionTooLarge as error:
            raise self._explained(error, data) from error
        if written is None:
            raise CreateError
        self._unreadable = False
        self._session_cache = self._settle(written, data)

    async def _replace_all(self, data: dict[str, Any], plaintext: bytes, age: int) -> None:
        stored = self._loaded
        if stored is None:
            try:
                stored = await self._reread(cast(str, self.session_key))
                self._take(stored.plaintext)
            except (SessionConflict, InvalidRecord):
                await self._own("create")  # what is stored cannot be read, and so is not ours to replace
                return
            plaintext = self._dump(data)  # with the options of its cookie
        await self._replace(data, plaintext, age, stored, base=None)

    async def _replace(
        self, ours: dict[str, Any], plaintext: bytes, age: int, stored: Snapshot, base: Snapshot | None
    ) -> None:
        """Write ours over stored. What others changed since base is merged in; nothing is if base is None."""
        key, data = cast(str, self.session_key), ours
        storage_key = stored.storage_key
        # Whoever is in the queue would never win against those who need not enter it.
        written = None if contended(storage_key) else await self._swap(data, plaintext, age, stored)
        if written is None:
            async with exclusive(storage_key, self.entry().timeout):
                for attempt in range(SWAP_ATTEMPTS):
                    await _back_off(attempt)
                    stored = await self._reread(key)
                    if base is not None:
                        data = self._merge(base, stored, ours)
                        plaintext = self._dump(data)
                        # They may have called set_expiry().
                        age = max(int(self.get_expiry_age(expiry=data.get("_session_expiry"))), 1)
                    written = await self._swap(data, plaintext, age, stored)
                    if written is not None:
                        break
                else:
                    raise SessionConflict(
                        f"Session {self.session_name!r} was changed {SWAP_ATTEMPTS} times while it was being saved."
                    )
        self._session_cache = self._settle(written, data)

    async def _swap(self, data: dict[str, Any], plaintext: bytes, age: int, stored: Snapshot) -> Snapshot | None:
        key, header = cast(str, self.session_key), self._header(data, age, stored.header)

        def repeatable() -> bool:
            # Merging the same change twice gives the same, but for a rule's; and strict would take it for another's.
            return self.entry().on_conflict != "strict" and data.keys().isdisjoint(self._rules())

        try:
            return await self.records().replace(key, plaintext, header, age, stored, repeatable=repeatable)
        except SessionTooLarge as error:
            raise self._explained(error, data) from error

    def _rules(self) -> Mapping[str, Rule]:
        return {**dict.fromkeys(self.flash_keys(), append), **self.merge_rules()}

    async def _reread(self, key: str) -> Snapshot:
        try:
            stored = await self.records().read(key)
        except InvalidRecord as reason:
            raise SessionConflict(
                f"Session {self.session_name!r} was changed meanwhile by what we cannot read: {reason}"
            ) from reason
        if stored is None:
            raise UpdateError(f"Session {self.session_name!r} was deleted meanwhile.")
        return stored

    def _merge(self, base: Snapshot, stored: Snapshot, ours: dict[str, Any]) -> dict[str, Any]:
        entry, serializer = self.entry(), self.serializer()
        # Options that were set here stand over theirs.
        self._stored_options, theirs = body.parse(serializer, stored.plaintext)
        try:
            merged = merge(
                self._parse(base.plaintext),
                theirs,
                # As it will be read: JSON turns tuples into lists and integer keys into strings.
                self._parse(self._dump(ours)),
                rules=self._rules(),
                guard=entry.guard,
                read=ours.read if isinstance(ours, TrackedDict) else (),
                # 1, 1.0 and True are equal to Python, but not the same to a reader.
                same=lambda one, other: serializer.dumps({"": one}) == serializer.dumps({"": other}),
            )
        except MergeConflict as conflict:
            raise SessionConflict(f"Session {self.session_name!r} cannot be merged: {conflict}") from conflict
        if entry.on_conflict == "overwrite":
            # But for guarded keys: what was revoked meanwhile stays revoked.
            kept = {key: merged.data[key] for key in entry.guard if key in merged.data}
            return {key: value for key, value in ours.items() if key not in entry.guard} | kept
        if merged.overwritten:
            logger.info(
                "Session %r: %d keys changed on both sides, ours kept", self.session_name, len(merged.overwritten)
            )
        return merged.data

    async def _touch(self, loaded: Snapshot, age: int) -> None:
        """Prolong an unchanged session; whoever wrote it meanwhile has prolonged it, and an outage is no error."""
        if not touch_throttle.claim(loaded.storage_key, loaded.header.version):
            return
        key, header = cast(str, self.session_key), self._header(self._session_cache, age, loaded.header)
        try:
            written = await self.records().replace(key, loaded.plaintext, header, age, loaded)
        except BaseException as error:
            touch_throttle.release(loaded.storage_key)
            if isinstance(error, StoreUnavailable):
                return
            raise
        if written is not None:
            self._loaded = written

    def _touch_is_due(self, loaded: Snapshot, data: Mapping[str, Any], age: int) -> bool:
        now = self.clock()
        left, lifetime = loaded.header.expires_at - now, clamp(now + age) - now
        if left > lifetime + 1 + min(SKEW, lifetime / 32):
            return True  # the policy has become shorter
        slides = not isinstance(data.get("_session_expiry"), str)
        # Below 15/16 to 14/16 of the lifetime, by key: what was made in one moment does not come due in one, and no
        # session is written more than 16 times in a lifetime.
        spread = int(loaded.storage_key[:4], 16) / 0xFFFF
        return slides and left < lifetime * (15 - spread) / 16

    async def _cycle_key(self) -> None:
        ours, replaces_all = await self._data(), self._replaces_all
        old, loaded = self.session_key, None if self._replaces_all else self._loaded
        retire = old is not None and not self._unreadable
        await self._own("create")
        if not retire:
            return
        try:
            await self._retire(cast(str, old), loaded, ours)
        except BaseException as error:
            try:
                # Without an answer the old key is the one that may live; nobody was told of the new one.
                with suppress(StoreUnavailable):
                    if isinstance(error, Exception):
                        await self._own("delete", self.session_key)
            finally:
                self._session_key, self._loaded, self._replaces_all = old, loaded, replaces_all
                self._session_cache = ours
            raise

    async def _retire(self, old: str, base: Snapshot | None, ours: dict[str, Any]) -> None:
        """End the old key; what was saved under it since base goes to the new one first."""
        if await self.records().delete(old, base) or base is None:
            return
        async with exclusive(self.records().storage_key(old), self.entry().timeout):
            for attempt in range(SWAP_ATTEMPTS):
                await _back_off(attempt)
                expected = await self._reread(old)
                self._session_cache = self._merge(base, expected, ours)
                await self._own("save")
                if await self.records().delete(old, expected):
                    return
        raise SessionConflict(f"Session {self.session_name!r} changed too often while its key was changed.")

    def _explained(self, error: SessionTooLarge, data: Mapping[str, Any]) -> SessionTooLarge:
        return SessionTooLarge(f"{error}. {self._largest(data)}")


async def _back_off(attempt: int) -> None:
    """Pause before all attempts but the first, with jitter: those of other processes are not in our queue."""
    if attempt:
        await pause(random.uniform(0, min(0.001 * 2**attempt, LONGEST_PAUSE)))  # noqa: S311 - no secret
