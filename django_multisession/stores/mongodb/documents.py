"""A session as a document, and the filters and updates for it.

A document holds ``_id`` (storage key), ``v`` (version), ``p`` (payload), ``s`` (whether that is a session), ``w`` (when
it was written, by the server's clock), ``t`` (its ttl in milliseconds) and ``e`` (when the server's TTL monitor may
remove it).
"""

import time
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from ...envelope import SKEW, VERSION, is_session
from ...exceptions import SessionTooLarge
from ..base import LONGEST_TTL

LARGEST: Final = 16 * 1024 * 1024 - 1024
"""Bytes of the largest payload: a document's limit of 16 MiB, less the other fields."""

# Both sides of the comparison are by the server's clock. An update pipeline could store the end of the life itself, but
# mongo-java-server, which stands in for mongod in tests, knows no pipelines (decisions.md, D11).
_END: Final = {"$add": ["$w", "$t"]}
LIVE: Final = {"$expr": {"$lt": ["$$NOW", _END]}}
EXPIRED: Final = {"$expr": {"$gte": ["$$NOW", _END]}}
LIVE_SESSION: Final = {"s": {"$ne": False}, **LIVE}
ABSENT: Final = {"v": {"$exists": False}}
"""Matches no record, as each has a version: an upsert with it creates a record, or fails because the key is taken."""
KEY_ONLY: Final = {"_id": True}


def update_to(payload: bytes, ttl: int) -> dict[str, Any]:
    """Return the update after which a document holds payload for ttl seconds; SessionTooLarge if it is too large."""
    if len(payload) > LARGEST:
        raise SessionTooLarge(f"The session takes {len(payload)} bytes; MongoDB holds at most {LARGEST}.")
    ttl = min(ttl, LONGEST_TTL)
    # For the TTL monitor, which goes by the server's clock: later by as much as our clock may be behind.
    removal = DatetimeMS(int((time.time() + ttl + SKEW) * 1000))
    fields = {"v": payload[VERSION], "p": payload, "s": is_session(payload), "t": Int64(ttl * 1000), "e": removal}
    return {"$set": fields, "$currentDate": {"w": True}}


def left_over() -> dict[str, Any]:
    """Return the filter for records that the TTL monitor should have removed."""
    # The condition on e lets the server use the index; EXPIRED then decides by the server's clock.
    latest = DatetimeMS(int((time.time() + 2 * SKEW) * 1000))
    return {"e": {"$lte": latest}, **EXPIRED}


def find_command(collection: str, key: str) -> dict[str, Any]:
    """Return the command that reads a live record's payload."""
    return {
        "find": collection,
        # LIVE, as the TTL monitor removes expired records only once a minute.
        "filter": {"_id": key, **LIVE},
        "projection": {"_id": False, "p": True},
        "limit": 1,
        "singleBatch": True,
    }
