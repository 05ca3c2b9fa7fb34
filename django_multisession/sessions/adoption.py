"""A named session that was a visitor's, and has become a user's: it goes on under a new key, as a login does.

Whoever has planted or copied the old key is left behind. Requests of the same user are not: see decisions.md, D85.
"""

from typing import Any, Protocol

from .body import Body
from .cookie_changes import OWNER
from .draft import Draft
from .loaded import Loaded, has_same_identity
from .pointers import follow


class MovedLifecycle(Protocol):
    """What is asked of a Lifecycle, which has found a pointer."""

    repository: Any
    rotation: Any

    def settle(self, loaded: Loaded, body: Body) -> None: ...


async def go_along(life: MovedLifecycle, user: str | None) -> Body | None:
    """Go on where a pointer leads, if that is to a named session of this user's; None if not."""
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
    """Tell whether a draft, made of ``base``, may go on in a session that was found where a pointer leads.

    Both have the same login; or they are a visitor's named session, which this request and another one have brought to
    the same user. That it was the user's already says nothing: whoever copied its key had loaded that, too.
    """
    if has_same_identity(found.data, draft.data):
        return True
    owner = draft.options.get(OWNER)
    return owner is not None and owner == found.options.get(OWNER) and base is not None and OWNER not in base.options
