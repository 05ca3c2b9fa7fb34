"""Follow pointers to a session whose key has changed."""

from collections.abc import Awaitable, Callable
from typing import Final

from ..keys import SessionKey
from .loaded import Loaded, Moved, Outdated

MOST_POINTERS: Final = 4
"""How many pointers are followed in a row: no visitor's session changes its key more often in a minute."""

Look = Callable[[SessionKey], Awaitable[Loaded | Moved | Outdated | None]]


async def follow(look: Look, key: SessionKey) -> tuple[Loaded | None, bool]:
    """Return the session under a key, or where its pointers lead (None: none), and whether there was a pointer."""
    found = await look(key)
    followed = False
    for _ in range(MOST_POINTERS):
        if not isinstance(found, Moved):
            break
        followed, found = True, await look(found.key)
    return found if isinstance(found, Loaded) else None, followed
