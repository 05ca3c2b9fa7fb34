"""Rewrite an unchanged session for its header alone: for the time of its last use, or for the registry's mark."""

import os

from ..codec import Header
from ..envelope import REGISTERED
from ..exceptions import StoreUnavailable
from .loaded import Loaded
from .repository import Repository


async def restamp(repository: Repository, loaded: Loaded, now: float, *, registers: bool = False) -> Loaded | None:
    """Rewrite a session without changing when it expires; None if others have written it, or in an outage.

    ``registers`` adds the registry's mark.
    """
    before = loaded.header
    flags = before.flags | REGISTERED if registers else before.flags
    header = Header.new(
        os.urandom(8), before.created_at, before.authenticated_at, before.expires_at, now, flags=flags & REGISTERED
    )
    try:
        return await repository.records.replace(loaded, loaded.plaintext, header, max(before.expires_at - int(now), 1))
    except StoreUnavailable:
        return None
