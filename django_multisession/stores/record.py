"""What a store returns of a record, and what it takes for a new one."""

from typing import NamedTuple

from ..reprs import shown_as


@shown_as(lambda record: f"{len(record.payload)} bytes")
class Record(NamedTuple):
    """What a store holds under a key, and the token with which to replace exactly that."""

    payload: bytes
    token: bytes


@shown_as(lambda insertion: f"{len(insertion.payload)} bytes")
class Insertion(NamedTuple):
    """What Store.insert() takes; ``ttl`` is in seconds."""

    key: str
    payload: bytes
    ttl: int
    version: bytes
