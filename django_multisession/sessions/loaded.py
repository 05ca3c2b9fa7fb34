"""What a load finds in a store under a session key, or a save has written there."""

from typing import Any, NamedTuple, Self

from ..codec import Header
from ..keys import SessionKey
from ..reprs import shown_as
from .body import Body


class Elsewhere(bytes):
    """The token of a session that is in the place that FALLBACK names, and not in our store; see moving/."""

    found: Any
    """The source's Found."""

    @classmethod
    def of(cls, found: Any) -> Self:
        token = cls()
        token.found = found
        return token


@shown_as(lambda loaded: f"{len(loaded.plaintext)} bytes")
class Loaded(NamedTuple):
    """A session as its record was when it was read or written; a save is compared and merged with it.

    ``token`` is the store's, with which exactly that record can be replaced.
    """

    key: SessionKey
    plaintext: bytes
    header: Header
    token: bytes

    @property
    def is_here(self) -> bool:
        """Whether it is in our store, so that the header is a stored one."""
        return not isinstance(self.token, Elsewhere)


class Moved(NamedTuple):
    """A pointer: the session continues under another key."""

    key: SessionKey


class Outdated(NamedTuple):
    """A session that was set aside since its login is outdated: only a change of the password can continue it."""

    loaded: Loaded


class Saved(NamedTuple):
    """The result of a save: what the store holds now, its data, and whether it was written just now.

    ``body.data`` is the draft's own object unless something was merged in.
    """

    loaded: Loaded
    body: Body
    written: bool = True


def has_same_identity(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two sessions belong to the same user with the same password.

    False for an anonymous session, and for one with a user and no hash, which no login has made.
    """
    user, hashed = one.get("_auth_user_id"), one.get("_auth_user_hash")
    if user is None or hashed is None:
        return False
    return bool(user == other.get("_auth_user_id") and hashed == other.get("_auth_user_hash"))
