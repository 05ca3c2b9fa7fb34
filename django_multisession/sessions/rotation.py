"""Commit a change of a session's key: once the new record is stored, a pointer to it replaces the old one.

The pointer is kept for as long as requests that have loaded the session under its old key may be under way. Their saves
follow it, and so does a logout; see Repository. Another request that changes the same session's key at the same time
finds the pointer, and continues under the key that won, if user and password are the same there.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..deadline import left
from ..exceptions import StoreRefused, StoreUnavailable
from ..keys import SessionKey
from .body import Body
from .draft import Draft
from .exceptions import SessionEnded
from .loaded import Loaded, Moved, Outdated, Saved
from .passwords import changes_password, merged_renewed
from .pointers import follow
from .records import replacing
from .repository import Repository
from .save_queue import SWAP_ATTEMPTS, back_off, exclusive


@dataclass
class RotationOutcome:
    """What happened while an old key was ended.

    ``unsure`` are the storage keys of sessions that may not have ended, as the store did not answer; ``is_contended``
    tells that others may have changed the key at the same time.
    """

    unsure: list[str] = field(default_factory=list)
    is_contended: bool = False


class Rotation(NamedTuple):
    """What a change of key leaves behind: the old key, and what was loaded under it.

    ``base`` is None if the session was cleared or not loaded, so that its old data does not count. ``had_moved`` tells
    that there was already a pointer when the session was loaded. ``user_before`` and ``written`` are those of the old
    session's Lifecycle.
    """

    key: SessionKey
    base: Loaded | None
    had_moved: bool = False
    user_before: Any = None
    written: bool = False

    def is_another(self, new: Loaded | None) -> bool:
        """Tell whether the old session has another key than the new one.

        Within a second, Django's signed_cookies make of unchanged data the same cookie, which is then not to be ended.
        """
        return new is None or new.key.secret != self.key.secret

    async def commit(self, repository: Repository, new: Loaded, draft: Draft, outcome: RotationOutcome) -> Saved | None:
        """Replace the old session by a pointer to the new one, after merging what others have saved there.

        Returns what the store holds then: under the new key, or under the one that another request has changed it to.
        None if there was nothing to end. ``outcome`` is told how it went. SessionEnded if the old session was logged
        out, or is somebody else's now; SessionConflict if changes must not be merged.
        """
        if self.had_moved:
            # A request that had not loaded the session joins it only with the same login; another user's login is a
            # session of its own.
            with suppress(SessionEnded):
                return await self._join(repository, repository.nothing(new), new, draft)
            return None
        saved = Saved(new, Body(draft.options, draft.data))
        if self.base is not None and await self._point(repository, self.base, new, draft, outcome):
            return saved
        outcome.is_contended = True
        async with exclusive(self.key.storage_key, left(repository.timeout)):
            for attempt in range(SWAP_ATTEMPTS):
                await back_off(attempt)
                found = await repository.look(self.key)
                if isinstance(found, Moved):
                    target = await self._outdated_target(repository, draft)
                    if target is None:
                        return await self._join(repository, self.base, new, draft)
                    found = target
                if isinstance(found, Outdated):
                    # Set aside by another request that met the new password before this response was made.
                    takes = self.base is not None and changes_password(repository, found.loaded, draft)
                    found = found.loaded if takes else None
                if found is None:
                    if self.base is None:
                        return None
                    raise repository.ended()
                if self.base is not None:
                    if found.key is self.key:
                        merged = repository.merged(self.base, found, draft, rotates=True)
                    else:
                        merged = merged_renewed(repository, self.base, found, draft)
                    saved = await repository.replace_all(new.key, saved.loaded, merged)
                if await self._point(repository, found, new, draft, outcome):
                    return saved
        raise repository.too_busy()

    async def _outdated_target(self, repository: Repository, draft: Draft) -> Loaded | None:
        """Return the session to which the pointer leads, if another request's change of the password is outdated there.

        key_change.commit() has found ours to be the one that counts. So that session ends, with a pointer to this one.
        """
        if self.base is None or not changes_password(repository, self.base, draft):
            return None
        target, _ = await follow(repository.look, self.key)
        return target if changes_password(repository, target, draft) else None

    async def _join(self, repository: Repository, base: Loaded | None, new: Loaded, draft: Draft) -> Saved:
        """Save into the session to which the pointer leads, and delete the new record."""
        saved = await repository.merge_in(self.key, base, draft)
        await withdraw(repository, new)
        return saved

    async def _point(
        self, repository: Repository, ended: Loaded, new: Loaded, draft: Draft, outcome: RotationOutcome
    ) -> bool:
        if not self.is_another(new):
            return True
        try:
            return await repository.records.point(ended, new.key, replacing(ended, draft.now))
        except StoreRefused:
            return await repository.records.delete(ended.key, ended)  # a full server still deletes
        except StoreUnavailable:
            # The new record is stored, and the pointer may be too: the browser must get the new key, or this outage
            # would log it out.
            outcome.unsure.append(ended.key.storage_key)
            return True


async def withdraw(repository: Repository, new: Loaded) -> None:
    """Delete a record whose key was sent to nobody; if the store does not answer, it expires."""
    with suppress(StoreUnavailable):
        await repository.records.delete(new.key)
