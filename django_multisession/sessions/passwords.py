"""A change of password while other requests of the same visitor are under way.

After the password is saved, and until the response brings the new key, other requests find the session's login
outdated, and django.contrib.auth flushes it. Such a session is set aside: it can no longer be loaded, and only the
request that changes the password can continue it. See decisions.md, D52.
"""

from contextlib import AsyncExitStack

from ..conf import GUARDED
from ..deadline import left
from ..exceptions import StoreRefused
from .draft import Draft
from .loaded import Loaded, Moved, Outdated, has_same_identity
from .records import replacing
from .repository import Repository
from .save_queue import SWAP_ATTEMPTS, back_off, exclusive


async def set_aside(repository: Repository, loaded: Loaded, now: float) -> None:
    """End a session whose login is outdated, except for a request that is just changing the password.

    If the password has been changed in the stored session meanwhile, in place or under a new key, that one stays.
    """
    found: Loaded | Moved | Outdated | None = loaded
    before = repository.parse(loaded).data
    async with AsyncExitStack() as turns:
        for attempt in range(SWAP_ATTEMPTS):
            if not isinstance(found, Loaded):
                return
            if found is not loaded and not has_same_identity(repository.parse(found).data, before):
                return
            try:
                if await repository.records.set_aside(found, replacing(found, now)):
                    return
            except StoreRefused:
                await repository.records.delete(found.key, found)  # a full server still deletes
                return
            # Others that write the session all the time must wait meanwhile.
            await turns.enter_async_context(exclusive(loaded.key.storage_key, left(repository.timeout)))
            await back_off(attempt)  # before the read, not after it: what was read is soon outdated
            found = await repository.look(loaded.key)
    raise repository.too_busy()


def changes_password(repository: Repository, loaded: Loaded | None, draft: Draft) -> bool:
    """Tell whether a draft is of the same user as what was loaded, with another password."""
    if loaded is None:
        return False
    before = repository.parse(loaded).data
    user, hashed = before.get("_auth_user_id"), draft.data.get("_auth_user_hash")
    if user is None or hashed is None:
        return False
    return bool(user == draft.data.get("_auth_user_id") and hashed != before.get("_auth_user_hash"))


def merged_renewed(repository: Repository, base: Loaded, stored: Loaded, draft: Draft) -> Draft:
    """Merge as repository.merged(), but where both sides have changed the password, and ours is the one that counts.

    Otherwise two changes of the hash would be a conflict.
    """
    theirs, body = repository.parse(stored).data, repository.parse(base)
    identity = {key: theirs[key] for key in GUARDED if key in theirs}
    base = base._replace(plaintext=repository.dump(body.options, {**body.data, **identity}))
    merged = repository.merged(base, stored, draft.with_data({**draft.data, **identity}), rotates=True)
    merged.data.update({key: draft.data[key] for key in GUARDED if key in draft.data})
    return merged
