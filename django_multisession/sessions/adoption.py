"""A named session that was a visitor's and becomes a user's: like a login, it continues under a new key.

So nobody who has planted or copied the old key can use it. Other requests of the same user can: see decisions.md, D85.
"""

from .body import Body
from .cookie_changes import OWNER
from .lifecycle import Lifecycle
from .pointers import follow


async def go_along(life: Lifecycle, user: str | None) -> Body | None:
    """Continue the named session to which a pointer leads, if it is this user's; None if it is not."""
    if user is None or life.rotation is None:
        return None
    found, _ = await follow(life.repository.records.read, life.rotation.key)
    body = found and life.repository.parse(found)
    if found is None or body is None or body.options.get(OWNER) != user:
        return None
    life.rotation = None
    life.settle(found, body)
    return body
