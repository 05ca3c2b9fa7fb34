"""The header in front of every record and cookie, fixed in docs/format.md.

format u8 · flags u8 · kid 4 · version 8 · created_at u32 · authenticated_at u32 · expires_at u32 · issued_at u32
"""

import os
import struct
from typing import Any, NamedTuple, Self

from .exceptions import InvalidRecord

FORMAT = 1
COMPRESSED = 0x01
ENDED = 0x02
"""A tombstone: a session that was here, or could have been, has ended."""
MOVED = 0x04
"""A pointer: the session goes on under the key in the body."""
REGISTERED = 0x08
"""A login that the registry knows: one that is not among its rows any more has been revoked."""
_KNOWN_FLAGS = COMPRESSED | ENDED | MOVED | REGISTERED

_LAYOUT = struct.Struct(">BB4s8sIIII")
LENGTH = _LAYOUT.size
VERSION = slice(6, 14)
"""Where the version stands in a payload; stores compare these bytes to swap."""

FLAGS = 1
"""Where the flags stand in a payload."""

LATEST = 2**32 - 1
SKEW = 60
"""Seconds by which the clocks of two hosts may differ before a live record is taken for an expired one."""
SERVER_SKEW = 3600
"""The same where a server's clock has said that the record lives; what a restored backup brings back is bounded."""


def clamp(timestamp: float) -> int:
    """Return timestamp (seconds since 1970) as it fits into the header; the year 2106 is its end."""
    whole = int(timestamp)
    return whole if 0 <= whole <= LATEST else min(max(whole, 0), LATEST)


def is_session(payload: bytes) -> bool:
    """Tell whether a payload holds a session, and is no tombstone or pointer."""
    return len(payload) <= FLAGS or not payload[FLAGS] & (ENDED | MOVED)


class Header(NamedTuple):  # made in a third of the time of a frozen dataclass
    """What is known of a payload beside its body, as it is stored. Times are whole seconds since 1970, 0 for never."""

    format: int
    flags: int
    kid: bytes
    version: bytes
    created_at: int
    authenticated_at: int
    expires_at: int
    issued_at: int

    @classmethod
    def new(
        cls,
        version: bytes,
        created_at: float,
        authenticated_at: float,
        expires_at: float,
        issued_at: float,
        *,
        flags: int = 0,
    ) -> Self:
        """Return the header of what is to be written, with times as they fit; pack() adds the secret and more flags."""
        times = int(created_at), int(authenticated_at), int(expires_at), int(issued_at)
        if min(times) < 0 or max(times) > LATEST:
            times = clamp(created_at), clamp(authenticated_at), clamp(expires_at), clamp(issued_at)
        return tuple.__new__(cls, (FORMAT, flags, b"", version, *times))

    @classmethod
    def continuing(
        cls,
        previous: "Header | None",
        now: float,
        age: int,
        users: tuple[Any, Any],
        *,
        registers: bool = False,
        is_new: bool = False,
    ) -> Self:
        """Return the header of a session that is written now, lives for age seconds, and continues a previous one.

        ``users`` are its user and that of the previous one, None for nobody. ``registers`` is for a login of which the
        registry has a row, and ``is_new`` tells that it continues the previous one under another key.
        """
        user, before = users
        created_at = now if previous is None else previous.created_at
        authenticated_at = 0.0 if user is None else now
        flags = REGISTERED if registers and user is not None else 0
        if previous is not None and user is not None and user == before:
            authenticated_at = previous.authenticated_at
            flags |= 0 if is_new else previous.flags & REGISTERED
        return cls.new(os.urandom(8), created_at, authenticated_at, int(now) + age, now, flags=flags)

    def pack(self, kid: bytes, flags: int = 0) -> bytes:
        """Return the header as it is stored, before a body that the secret ``kid`` protects."""
        return _LAYOUT.pack(FORMAT, self[1] & REGISTERED | flags, kid, *self[3:])

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """Return the header of a payload; InvalidRecord if it is too short or of a format we do not know."""
        if len(payload) < LENGTH:
            raise InvalidRecord("truncated")
        header = tuple.__new__(cls, _LAYOUT.unpack_from(payload))
        if header[0] != FORMAT:
            raise InvalidRecord(f"unknown format {header.format}")
        if header[1] & ~_KNOWN_FLAGS:
            raise InvalidRecord("unknown flags")
        return header

    def expired(self, now: float, skew: int = SKEW) -> bool:
        """Tell whether the payload is past its end by more seconds than two clocks may differ."""
        return now > self.expires_at + skew
