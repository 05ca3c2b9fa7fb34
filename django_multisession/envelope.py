"""The layout of the header in front of every record and cookie, specified in docs/format.md.

format u8 · flags u8 · kid 4 · version 8 · created_at u32 · authenticated_at u32 · expires_at u32 · issued_at u32

Stores need to know where version and flags stand, and nothing else; codec.Header reads and writes all of it.
"""

import struct

FORMAT = 1
COMPRESSED = 0x01
ENDED = 0x02
"""A tombstone: a session that was here, or could have been, has ended."""
MOVED = 0x04
"""A pointer: the session goes on under the key in the body."""
REGISTERED = 0x08
"""The registry has, or had, a row of this login: if the row is gone, the login has been revoked."""
KNOWN_FLAGS = COMPRESSED | ENDED | MOVED | REGISTERED

LAYOUT = struct.Struct(">BB4s8sIIII")
LENGTH = LAYOUT.size
VERSION = slice(6, 14)
"""Where the version stands in a payload: the bytes that a store compares before it replaces a record."""

FLAGS = 1
"""Where the flags stand in a payload."""

LATEST = 2**32 - 1
SKEW = 60
"""Seconds by which the clocks of two hosts may differ before a live record is taken for an expired one."""
SERVER_SKEW = 3600
"""The same where the server's own clock decides what lives: this only bounds what a restored backup can bring back."""


def clamp(timestamp: float) -> int:
    """Return timestamp (seconds since 1970) as whole seconds that fit into the header, which ends in 2106."""
    whole = int(timestamp)
    return whole if 0 <= whole <= LATEST else min(max(whole, 0), LATEST)


def is_session(payload: bytes) -> bool:
    """Tell whether a payload holds a session, and is no tombstone or pointer."""
    return len(payload) <= FLAGS or not payload[FLAGS] & (ENDED | MOVED)
