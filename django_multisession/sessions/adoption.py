"""Follow a named session that has become a user's, and so has changed its key (http/handle.py; decisions.md, D85).

A request that still brings the old key is led on only if its own login is that user's: others may have planted or
copied that key.
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
