"""What a store was found to hold under a session key."""

from typing import Any, NamedTuple

from ..envelope import Header
from ..keys import SessionKey


class Loaded(NamedTuple):
    """A session as its record was when it was read or written; what a save is compared and merged with.

    ``token`` is the store's, for replacing exactly that. A repr shows nothing of the content.
    """

    key: SessionKey
    plaintext: bytes
    header: Header
    token: bytes

    def __repr__(self) -> str:
        return f"<Loaded, {len(self.plaintext)} bytes>"


class Moved(NamedTuple):
    """A pointer: the session that was here goes on under another key."""

    key: SessionKey


def has_same_identity(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two sessions belong to the same user with the same password; an anonymous one is nobody's."""
    user, hashed = one.get("_auth_user_id"), one.get("_auth_user_hash")
    return user is not None and user == other.get("_auth_user_id") and hashed == other.get("_auth_user_hash")
