"""When an unchanged session is prolonged, and by which of several concurrent requests: by one of each process.

All of them have loaded the same version and find that a touch is due. Without this, each would send a swap, and all but
one would lose. It only saves calls: between two processes, the swap decides.
"""

from typing import Final

from ..envelope import SKEW, clamp
from ..runtime import ALWAYS, Kept, monotonic
from .draft import Draft
from .loaded import Loaded

_MOST: Final = 1024
_BURST: Final = 5.0
"""Seconds after which the same version may be prolonged again: the first touch may have been lost, in a rollback or a
failover."""

_latest: Kept[dict[str, tuple[bytes, float]]] = Kept(dict, ALWAYS)
"""The version that was prolonged last and when (monotonic), by storage key."""


def is_due(loaded: Loaded, draft: Draft, age: int) -> bool:
    """Tell whether an unchanged session must be written, so that it lives for age seconds from now on."""
    remaining, lifetime = loaded.header.expires_at - draft.now, clamp(draft.now + age) - draft.now
    if remaining > lifetime + 1 + min(SKEW, lifetime / 32):
        return True  # the lifetime has become shorter
    slides = not isinstance(draft.data.get("_session_expiry"), str)
    # Below 14/16 to 15/16 of the lifetime, depending on the key: sessions that were created at the same moment do not
    # come due at the same moment, and none is written more than 16 times in a lifetime (decisions.md, D21).
    spread = int(loaded.key.storage_key[:4], 16) / 0xFFFF
    return slides and remaining < lifetime * (15 - spread) / 16


def claim(storage_key: str, version: bytes) -> bool:
    """Tell whether the caller is the first in this process to prolong this version, and note that it does."""
    now, latest = monotonic(), _latest.value
    prolonged, since = latest.get(storage_key, (b"", 0.0))
    if prolonged == version and now < since + _BURST:
        return False
    if len(latest) >= _MOST:
        latest.clear()
    latest[storage_key] = version, now
    return True


def release(storage_key: str) -> None:
    """Note that the record was not prolonged, so that the next request tries again."""
    _latest.value.pop(storage_key, None)
