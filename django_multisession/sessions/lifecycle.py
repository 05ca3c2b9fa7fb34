"""The life of one session's record during a request: it is loaded, written, moved to a new key, ended.

A state machine between a session object, which has the key and the data, and the repository; bodies for both colours.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..exceptions import InvalidRecord, StoreUnavailable
from ..keys import SessionKey
from .body import Body
from .draft import Draft
from .exceptions import SessionEnded
from .lifetime import Origin
from .loaded import Loaded, Moved, Outdated, Saved
from .passwords import changes_password, set_aside
from .repository import Repository
from .rotation import Rotation, RotationOutcome, withdraw
from .state import Next, State
from .transactions import Baseline, UncommittedSaves
from .unreadable import report_unreadable


class Lifecycle:
    """The record of one session, from its first load to the end of the request.

    The class attributes are defaults of the instances', whose maker sets their repository (decisions.md, D80).
    """

    repository: Repository
    _uncommitted: UncommittedSaves | None = None
    state = State.NEW
    loaded: Loaded | None = None
    outage: StoreUnavailable | None = None
    """The outage that has made the session an anonymous one."""
    user_before: Any = None
    """The user of the session as it was loaded or saved last."""
    rotation: Rotation | None = None
    written = False
    """Whether a save in this request has written the record, and so extended its life."""

    @property
    def origin(self) -> Origin:
        """What the session continues, for its lifetime."""
        return Origin(self.loaded and self.loaded.header, self.user_before)

    def key(self, secret: str) -> SessionKey:
        """Return a session key together with its storage key."""
        if self.loaded is not None and self.loaded.key.secret == secret:
            return self.loaded.key
        return self.repository.records.key(secret)

    def keys(self, secret: str | None) -> list[SessionKey]:
        """Return the keys under which the session may be: its own, and the one before a change of key."""
        keys = [] if self.rotation is None else [self.rotation.key]
        return keys if secret is None else [*keys, self.key(secret)]

    async def load(self, secret: str, now: float, *, has_data: bool) -> Body | None:
        """Return the session under a key; None if there is none: the state says why. InvalidRecord if it is unreadable.

        A save compares with what was loaded first. So a session that ``has_data`` is only read again, and another one
        is returned as it was loaded first: a thread and a task may load at once. A save finds out if it is gone by now.
        """
        key = self.key(secret)
        try:
            found = await self.repository.load(key, now)
        except InvalidRecord:
            if self.state is State.NEW:
                self.state = State.UNREADABLE
            raise
        if self.state is not State.NEW:
            if self.loaded is not None and not has_data:
                return self.repository.parse(self.loaded)
            return found[1] if found is not None and not isinstance(found, Moved | Outdated) else None
        if isinstance(found, Moved):
            # A request that had not loaded the session before it moved follows only with its own login: see commit().
            self.state, self.rotation = State.MOVED, Rotation(key, None, had_moved=True)
            return None
        if isinstance(found, Outdated):
            self._lose(key)
            return None
        if found is None:
            self.state = State.GONE
            return None
        self.settle(*found)
        return found[1]

    def _lose(self, key: SessionKey) -> None:
        # A logout must still end what is under the key, or where it leads by then.
        self.state, self.rotation = State.GONE, Rotation(key, None, had_moved=True)

    def settle(self, loaded: Loaded, body: Body) -> None:
        """Know that a record is as it was read or written."""
        self.loaded, self.state, self.user_before = loaded, State.LOADED, body.data.get("_auth_user_id")

    def _kept(self, saved: Saved) -> Saved:
        self.settle(saved.loaded, saved.body)
        self.written = self.written or saved.written
        return saved

    async def insert(self, secret: str, draft: Draft) -> Saved | None:
        """Create the record under a new key; None if the key is taken."""
        saved = await self.repository.insert(self.key(secret), draft, self.loaded)
        return saved and self._kept(saved)

    async def save(self, secret: str, draft: Draft) -> Saved | Next:
        """Save what was loaded, or replace everything after clear(); return the result, or what to do instead.

        SessionEnded if the session is gone.
        """
        if (instead := self._instead(draft.data)) is not None:
            return instead
        if draft.age <= 0:
            return Next.DELETE
        key, store = self.key(secret), self.repository.records.store
        if not store.transactional:
            return await self._write(key, draft)
        latest = Baseline(self.loaded, self.state is State.CLEARED)
        self._uncommitted = uncommitted = self._uncommitted or UncommittedSaves()
        baseline = await uncommitted.baseline(latest, partial(self.repository.look, key))
        if baseline is not latest:
            self._go_back(baseline, latest.is_cleared)
        saved = await self._write(key, draft)
        if isinstance(saved, Saved):
            uncommitted.note(store, baseline, saved.loaded)
        return saved

    async def _write(self, key: SessionKey, draft: Draft) -> Saved | Next:
        if self.loaded is not None and self.state is not State.CLEARED:
            return self._kept(await self.repository.save(self.loaded, draft))
        return await self._replace_all(key, draft)

    def _go_back(self, baseline: Baseline, is_cleared: bool) -> None:
        self.loaded = baseline.loaded
        self.user_before = baseline.loaded and self.repository.parse(baseline.loaded).data.get("_auth_user_id")
        self.state = State.CLEARED if baseline.is_cleared or is_cleared else self.state

    def _instead(self, data: Mapping[str, Any]) -> Next | None:
        if self.state is State.ANONYMOUS and self.outage is not None:
            if data:
                raise self.outage  # or what was written to it would silently be lost
            return Next.NOTHING
        if self.state is State.UNREADABLE:
            # In a rolling deploy with a new secret, another process can still read the record: leave it.
            return Next.CREATE if data else Next.NOTHING
        return None

    def without_key(self, data: Mapping[str, Any]) -> Next:
        """Return what to do instead of saving data without a key; SessionEnded if the session has moved."""
        if (instead := self._instead(data)) is not None:
            return instead
        if self.state is not State.MOVED or "_auth_user_id" in data:
            return Next.CREATE
        if data:
            # A new cookie would replace the one with the new key, which the browser may have by now.
            raise self.ended()
        return Next.NOTHING

    async def _replace_all(self, key: SessionKey, draft: Draft) -> Saved | Next:
        loaded = self.loaded
        if loaded is None:
            try:
                found = await self.repository.load(key, draft.now)
            except InvalidRecord as reason:
                report_unreadable(self.repository.name, reason)
                return Next.CREATE  # what cannot be read must not be replaced
            if found is None or isinstance(found, Outdated):
                raise self.ended()
            if not isinstance(found, Moved):
                loaded, body = found
                draft = draft.on(body.options)
        return self._kept(await self.repository.replace_all(key, loaded, draft))

    async def exists(self) -> bool:
        """Tell whether the record that was loaded or saved last still exists."""
        return self.loaded is not None and await self.repository.records.exists(self.loaded.key)

    async def was_rolled_back(self) -> bool:
        """Tell whether the record that this request has created is gone, as its transaction was rolled back."""
        try:
            return self.repository.records.store.transactional and self.loaded is not None and not await self.exists()
        except StoreUnavailable:
            return False  # not known; the save that follows finds it out

    async def delete(self, secret: str) -> list[str]:
        """Delete a session for good, under whichever key it is by now; return the storage keys that it had."""
        key, loaded = self.key(secret), self.loaded
        return await self.repository.delete(key, loaded if loaded is not None and loaded.key is key else None)

    async def delete_rotated(self) -> list[str]:
        """Delete the session under the key before a change of key in this request; return its storage keys."""
        rotation, self.rotation = self.rotation, None
        return [] if rotation is None else await self.repository.delete(rotation.key, rotation.base)

    async def set_aside(self, now: float) -> None:
        """Set aside a session whose login is outdated; see passwords.py."""
        loaded = self.loaded
        self.forget()
        if loaded is not None:
            self._lose(loaded.key)
            await set_aside(self.repository, loaded, now)

    def forget(self) -> None:
        """Forget the record, as if it had never been loaded."""
        self.state, self.loaded, self.rotation, self.user_before = State.NEW, None, None, None

    def leaving(self, secret: str | None) -> Rotation | None:
        """Return what a change of key will leave behind; None if there is nothing under the old key."""
        if secret is None or self.state is State.UNREADABLE:
            return None
        base = None if self.state is State.CLEARED else self.loaded
        return Rotation(self.key(secret), base, user_before=self.user_before, written=self.written)

    async def leave(self, left: Rotation | None) -> bool:
        """Note what a change of key has left behind, now that the new record exists; tell whether to commit that."""
        if left is None or self.rotation is not None:
            if left is not None and left.is_another(self.loaded):
                await self.repository.records.delete(left.key)  # a second change: only this request knows that key
            return False
        self.rotation = left
        return True

    async def commit(self, draft: Draft, outcome: RotationOutcome) -> Saved | None:
        """End the old key after a change of key; see Rotation.commit()."""
        if self.rotation is None or self.loaded is None:
            return None
        saved = await self.rotation.commit(self.repository, self.loaded, draft, outcome)
        self.rotation = None
        return saved and self._kept(saved)

    def changes_password(self, draft: Draft) -> bool:
        """Tell whether this change of key belongs to a change of the same user's password."""
        return self.rotation is not None and changes_password(self.repository, self.rotation.base, draft)

    async def abandon(self) -> Rotation | None:
        """Undo a change of key: the old session stays as it was. Return what it had left behind, None if nothing."""
        left, new = self.rotation, self.loaded
        if left is None:
            return None
        self.rotation, self.loaded, self.user_before, self.written = None, left.base, left.user_before, left.written
        self.state = State.MOVED if left.had_moved else State.CLEARED if left.base is None else State.LOADED
        if new is not None and left.is_another(new):
            await withdraw(self.repository, new)
        return left

    def ended(self) -> SessionEnded:
        """Return the error for a session that is gone."""
        return self.repository.ended()
