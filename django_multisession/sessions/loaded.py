"""What a store was found, or brought, to hold under a session key."""

from typing import Any, NamedTuple, Self

from ..codec import Header
from ..keys import SessionKey
from ..reprs import shown_as
from .body import Body


class Elsewhere(bytes):
    """The token of a session that lives where its FALLBACK says, and not in our store; see moving/."""

    found: Any
    """What the source has found."""

    @classmethod
    def of(cls, found: Any) -> Self:
        token = cls()
        token.found = found
        return token


@shown_as(lambda loaded: f"{len(loaded.plaintext)} bytes")
class Loaded(NamedTuple):
    """A session as its record was when it was read or written; what a save is compared and merged with.

    ``token`` is the store's, for replacing exactly that.
    """

    key: SessionKey
    plaintext: bytes
    header: Header
    token: bytes

    @property
    def is_here(self) -> bool:
        """Whether it lives in our store, with all that a header says."""
        return not isinstance(self.token, Elsewhere)


class Moved(NamedTuple):
    """A pointer: the session that was here goes on under another key."""

    key: SessionKey


class Outdated(NamedTuple):
    """A session whose login was found outdated, as it was: only who changes its password now takes it along."""

    loaded: Loaded


class Saved(NamedTuple):
    """What a save has led to: what the store holds, its data, and whether that was written just now.

    ``body.data`` is the draft's own where nothing was merged.
    """

    loaded: Loaded
    body: Body
    written: bool = True


def has_same_identity(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two sessions belong to the same user with the same password.

    An anonymous one is nobody's; nor is one with a user and no hash, which no login has made.
    """
    user, hashed = one.get("_auth_user_id"), one.get("_auth_user_hash")
    if user is None or hashed is None:
        return False
    return bool(user == other.get("_auth_user_id") and hashed == other.get("_auth_user_hash"))
