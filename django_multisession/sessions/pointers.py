"""Where a session goes on whose key has changed."""

from collections.abc import Awaitable, Callable
from typing import Final

from ..keys import SessionKey
from .loaded import Loaded, Moved, Outdated

MOST_POINTERS: Final = 4
"""Pointers that are followed in a row: a session whose key changes more often in a minute is not a visitor's."""

Look = Callable[[SessionKey], Awaitable[Loaded | Moved | Outdated | None]]


async def follow(look: Look, key: SessionKey) -> tuple[Loaded | None, bool]:
    """Return what is stored under a key or where its pointers lead, and whether there was a pointer."""
    found = await look(key)
    followed = False
    for _ in range(MOST_POINTERS):
        if not isinstance(found, Moved):
            break
        followed, found = True, await look(found.key)
    return found if isinstance(found, Loaded) else None, followed
