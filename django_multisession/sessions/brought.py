"""Find a session's value among the cookies of a request: with its chunks joined, or under the name of its FALLBACK."""

import time
from collections.abc import Mapping

from ..cookie_codec import CookieCodec
from ..cookies import MAX_SIZE, chunk_name
from .config import SessionConfig

_MISSING = "."
"""Stands for a missing chunk. No cookie of ours has this character, so the codec refuses the whole value."""


def brought(config: SessionConfig, cookies: Mapping[str, str], chunks: int = 1) -> str | None:
    """Return the value of a session's cookie, joined from at most so many chunks; None if there is none."""
    found = _joined(config.cookie_name(), cookies, chunks)
    fallback = config.entry.fallback
    if fallback is None or time.time() >= fallback.until.timestamp():
        return found
    name = fallback.entry.cookie.get("NAME", config.cookie_name())
    former = _joined(name, cookies, max(chunks, fallback.entry.chunks))
    return found if found is not None and name != config.cookie_name() else former


def _joined(name: str, cookies: Mapping[str, str], chunks: int) -> str | None:
    first = cookies.get(name)
    if first is None or chunks == 1 or len(name) + len(first) > MAX_SIZE:
        return first  # no browser keeps such a long one, but Django's test client does, without chunks
    rest = range(1, min(CookieCodec.chunks(first), chunks))
    return first + "".join(cookies.get(chunk_name(name, index)) or _MISSING for index in rest)
