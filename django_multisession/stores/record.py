"""A record as a store returns it, and the arguments of an insertion."""

from typing import NamedTuple

from ..reprs import shown_as


@shown_as(lambda record: f"{len(record.payload)} bytes")
class Record(NamedTuple):
    """What a store holds under a key, and the token with which exactly that can be replaced."""

    payload: bytes
    token: bytes


@shown_as(lambda insertion: f"{len(insertion.payload)} bytes")
class Insertion(NamedTuple):
    """The arguments of Store.insert(); ``ttl`` is in seconds."""

    key: str
    payload: bytes
    ttl: int
    version: bytes
