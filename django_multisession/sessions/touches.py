"""Who prolongs an unchanged session: of the requests of one burst in one process, the first.

All of them have loaded the same version and find that a touch is due. Without this, each would send a swap that all but
one lose. It is a help and no promise: what two processes send at once, the swap decides.
"""

_MOST = 1024

_latest: dict[str, bytes] = {}
"""The version that was prolonged last, by storage key."""


def first(place: str, version: bytes) -> bool:
    """Tell whether nobody in this process has begun to prolong this version, and note that the caller does now."""
    if _latest.get(place) == version:
        return False
    if len(_latest) >= _MOST:
        _latest.clear()
    _latest[place] = version
    return True


def failed(place: str) -> None:
    """Note that the record could not be reached: the next request is to try."""
    _latest.pop(place, None)
