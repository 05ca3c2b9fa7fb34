"""What a store returns of a record, and what it takes for a new one."""

from typing import NamedTuple


class Record(NamedTuple):
    """What a store holds under a key, and the token with which to replace exactly that."""

    payload: bytes
    token: bytes

    def __repr__(self) -> str:
        return f"<Record of {len(self.payload)} bytes>"

    def __sentry_repr__(self) -> str:
        return repr(self)  # sentry-sdk shows the items of a tuple otherwise


class Insertion(NamedTuple):
    """What insert() takes."""

    key: str
    payload: bytes
    ttl: int
    version: bytes

    def __repr__(self) -> str:
        return f"<Insertion of {len(self.payload)} bytes>"

    def __sentry_repr__(self) -> str:
        return repr(self)
