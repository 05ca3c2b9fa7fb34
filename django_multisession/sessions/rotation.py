"""A change of a session's key: once the new record is safe, a pointer to it takes the old one's place.

The pointer stands for as long as requests may be under way that had loaded the session under its old key. What they
save follows it, and so does a logout; see Repository. A request that changes the key of the same session
meanwhile finds the pointer, and goes on under the key that won, if user and password are the same there.
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
from .passwords import merged_renewed, renews
from .pointers import follow
from .records import replacing
from .repository import Repository
from .save_queue import SWAP_ATTEMPTS, back_off, exclusive


@dataclass
class RotationOutcome:
    """How the end of an old key has gone.

    ``unsure`` are storage keys of sessions that may not have ended, as their store did not answer; ``is_contended``
    tells that others may have changed the key at the same time.
    """

    unsure: list[str] = field(default_factory=list)
    is_contended: bool = False


class Rotation(NamedTuple):
    """What a change of key leaves behind: the old key, and what was loaded under it.

    ``base`` is None where nothing of that counts, since the session was cleared or not loaded. ``had_moved`` tells that
    there was a pointer already when the session was looked at first. ``user_before`` and ``written`` are those of the
    old session's Lifecycle.
    """

    key: SessionKey
    base: Loaded | None
    had_moved: bool = False
    user_before: Any = None
    written: bool = False

    async def commit(self, repository: Repository, new: Loaded, draft: Draft, outcome: RotationOutcome) -> Saved | None:
        """End the old session with a pointer to the new one; first take along what others have saved there.

        Returns what the store holds then: under the new key, or under the one that another request has changed it to.
        None if there was nothing to end. ``outcome`` is told how it went. SessionEnded if the old session was logged
        out, or is somebody else's now; SessionConflict if changes must not be merged.
        """
        if self.had_moved:
            # A request that had not loaded the session joins it by a login of its own only; somebody else's login
            # stands by itself.
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
                    # By a page that met the new password before this response, which brings the session along.
                    takes = self.base is not None and renews(repository, found.loaded, draft)
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
        """Return the session to which the pointer leads if another request has brought it an older password.

        Ours is the one that counts: key_change.commit() has asked. That session ends, with a pointer to this one.
        """
        if self.base is None or not renews(repository, self.base, draft):
            return None
        target, _ = await follow(repository.look, self.key)
        return target if renews(repository, target, draft) else None

    async def _join(self, repository: Repository, base: Loaded | None, new: Loaded, draft: Draft) -> Saved:
        """Save into the session to which the pointer leads, and delete the new one."""
        saved = await repository.merge_in(self.key, base, draft)
        await withdraw(repository, new)
        return saved

    async def _point(
        self, repository: Repository, ended: Loaded, new: Loaded, draft: Draft, outcome: RotationOutcome
    ) -> bool:
        try:
            return await repository.records.point(ended, new.key, replacing(ended, draft.now))
        except StoreRefused:
            return await repository.records.delete(ended.key, ended)  # a full server still deletes
        except StoreUnavailable:
            # The new record is safe, and the pointer may stand already: the browser must learn of the new key, or
            # this outage would log it out. What is left under the old key leads nowhere.
            outcome.unsure.append(ended.key.storage_key)
            return True


async def withdraw(repository: Repository, new: Loaded) -> None:
    """Delete a record whose key nobody was told; without an answer, it ends by itself."""
    with suppress(StoreUnavailable):
        await repository.records.delete(new.key)
