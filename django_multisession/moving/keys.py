"""The storage key under which a session that was in a cookie is carried to a store."""

import hmac
from typing import Final

from ..keys import Keyring, SessionKey, StorageKeys

_PURPOSE: Final = "carry"


class CookieKey(SessionKey):
    """A cookie of a source that keeps sessions in cookies.

    ``here`` are the session keys under which it may be carried: HMAC-SHA256(K("carry"), cookie) in hexadecimal, for the
    current secret and then for older ones. So a replayed cookie meets what is stored for it, its session or its
    tombstone, even after SECRET_KEY was changed.
    """

    __slots__ = ("here",)

    def __init__(self, cookie: str, here: tuple[SessionKey, ...]) -> None:
        super().__init__(cookie, here[0].storage_key)
        self.here = here

    def __reduce__(self) -> tuple[type["CookieKey"], tuple[str, tuple[SessionKey, ...]]]:
        return CookieKey, (self.secret, self.here)


def cookie_key(cookie: str, keyring: Keyring, keys: StorageKeys) -> CookieKey:
    """Return the key of a cookie."""
    older = [secret for secret in keyring if secret is not keyring.current]
    digests = (hmac.digest(one.key(_PURPOSE), cookie.encode(), "sha256") for one in (keyring.current, *older))
    return CookieKey(cookie, tuple(keys.key(digest.hex()) for digest in digests))


def keys_here(key: SessionKey) -> tuple[SessionKey, ...]:
    """Return the keys under which our store may have the session of a key; the first is the one to write under."""
    return key.here if isinstance(key, CookieKey) else (key,)
