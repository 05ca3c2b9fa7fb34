"""When an unchanged session is prolonged, and by whom: of the requests of one burst in one process, by the first.

All of them have loaded the same version and find that a touch is due. Without this, each would send a swap that all but
one lose. It is a help and no promise: what two processes send at once, the swap decides.
"""

from typing import Final

from ..envelope import SKEW, clamp
from ..runtime import ALWAYS, Kept, monotonic
from .draft import Draft
from .loaded import Loaded

_MOST: Final = 1024
_BURST: Final = 5.0
"""Seconds after which the same version may be prolonged again: what was written then may have been lost, with a
transaction or in a failover."""

_latest: Kept[dict[str, tuple[bytes, float]]] = Kept(dict, ALWAYS)
"""The version that was prolonged last and when (monotonic), by storage key."""


def is_due(loaded: Loaded, draft: Draft, age: int) -> bool:
    """Tell whether a session that is to live for age seconds from now on is to be written for that alone."""
    remaining, lifetime = loaded.header.expires_at - draft.now, clamp(draft.now + age) - draft.now
    if remaining > lifetime + 1 + min(SKEW, lifetime / 32):
        return True  # the policy has become shorter
    slides = not isinstance(draft.data.get("_session_expiry"), str)
    # Below 15/16 to 14/16 of the lifetime, by key: what was made in one moment does not come due in one, and no session
    # is written more than 16 times in a lifetime (decisions.md, D21).
    spread = int(loaded.key.storage_key[:4], 16) / 0xFFFF
    return slides and remaining < lifetime * (15 - spread) / 16


def claim(storage_key: str, version: bytes) -> bool:
    """Tell whether nobody in this process has just begun to prolong this version, and note that the caller does now."""
    now, latest = monotonic(), _latest.value
    prolonged, since = latest.get(storage_key, (b"", 0.0))
    if prolonged == version and now < since + _BURST:
        return False
    if len(latest) >= _MOST:
        latest.clear()
    latest[storage_key] = version, now
    return True


def release(storage_key: str) -> None:
    """Note that the record was not prolonged: the next request is to try."""
    _latest.value.pop(storage_key, None)
