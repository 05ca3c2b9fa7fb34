"""Who prolongs an unchanged session: of the requests of one burst in one process, the first.

All of them have loaded the same version and find that a touch is due. Without this, each would send a swap that all but
one lose. It is a help and no promise: what two processes send at once, the swap decides.
"""

import time

_MOST = 1024
_BURST = 5.0
"""Seconds after which the same version may be prolonged again: what was written then may have been lost, with a
transaction or in a failover."""

_latest: dict[str, tuple[bytes, float]] = {}
"""The version that was prolonged last and when (monotonic), by storage key."""


def claim(storage_key: str, version: bytes) -> bool:
    """Tell whether nobody in this process has just begun to prolong this version, and note that the caller does now."""
    now = time.monotonic()
    latest, since = _latest.get(storage_key, (b"", 0.0))
    if latest == version and now < since + _BURST:
        return False
    if len(_latest) >= _MOST:
        _latest.clear()
    _latest[storage_key] = version, now
    return True


def release(storage_key: str) -> None:
    """Note that the record was not prolonged: the next request is to try."""
    _latest.pop(storage_key, None)
