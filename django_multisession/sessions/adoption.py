"""A named session that was a visitor's and becomes a user's: like a login, it continues under a new key.

So nobody who has planted or copied the old key can use it. Other requests of the same user can: see decisions.md, D85.
"""

from typing import Any, Protocol

from .body import Body
from .cookie_changes import OWNER
from .draft import Draft
from .loaded import Loaded, has_same_identity
from .pointers import follow


class MovedLifecycle(Protocol):
    """A Lifecycle that has found a pointer under its key."""

    repository: Any
    rotation: Any

    def settle(self, loaded: Loaded, body: Body) -> None: ...


async def go_along(life: MovedLifecycle, user: str | None) -> Body | None:
    """Continue the named session to which a pointer leads, if it is this user's; None if it is not."""
    if user is None:
        return None
    found, _ = await follow(life.repository.records.read, life.rotation.key)
    body: Body | None = found and life.repository.parse(found)
    if found is None or body is None or body.options.get(OWNER) != user:
        return None
    life.rotation = None
    life.settle(found, body)
    return body


def is_of_same_user(found: Body, base: Body | None, draft: Draft) -> bool:
    """Tell whether a draft that began as ``base`` may be saved into the session to which a pointer leads.

    It may if both have the same login; or if both are one visitor's named session, which this request and another one
    have given to the same user. A ``base`` that was already the user's is no proof: whoever copied its key has that
    too.
    """
    if has_same_identity(found.data, draft.data):
        return True
    owner = draft.options.get(OWNER)
    return owner is not None and owner == found.options.get(OWNER) and base is not None and OWNER not in base.options
