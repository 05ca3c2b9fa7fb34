"""Secrets and what is derived from them: the keyring, storage keys, new session keys.

HKDF is RFC 5869 with SHA-256; no output is longer than one hash, so that Expand is a single HMAC.
"""

import hashlib
import hmac
import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

SALT = b"django_multisession/1"
KID_LENGTH = 4

# Django's alphabet and length (django.contrib.sessions.backends.base): backends may ignore case.
_ALPHABET = (string.ascii_lowercase + string.digits).encode()
_KEY_LENGTH = 32
# The largest multiple of 36 below 256: dropping what lies above keeps every character equally likely.
_FAIR = 256 - 256 % len(_ALPHABET)
_CHARACTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))

looks_like_a_key: Final = re.compile(r"[\x00-\x7f]{8,128}").fullmatch
"""Matches what can be a session key of ours. Keys come with requests, so they may hold anything."""


def length_prefixed(value: bytes) -> bytes:
    """Return value preceded by its length (u16), so that concatenated fields stay unambiguous."""
    return len(value).to_bytes(2, "big") + value


def new_session_key() -> str:
    """Return a random session key: 32 characters of a-z and 0-9 (165 bits)."""
    key = b""
    while len(key) < _KEY_LENGTH:
        # get_random_string(32) asks the operating system 32 times, which takes 100 µs.
        key += os.urandom(_KEY_LENGTH + 4).translate(_CHARACTERS, _UNFAIR)
    return key[:_KEY_LENGTH].decode()


class SessionKey:
    """A session key, as the browser holds it, with the storage key derived from it; the repr shows neither.

    ``secret`` is the session key itself. ``ciphers`` caches the ciphers that the codec derives from it, by kid: making
    one takes as long as using it.
    """

    __slots__ = ("ciphers", "secret", "storage_key")

    def __init__(self, secret: str, storage_key: str) -> None:
        self.secret = secret
        self.storage_key = storage_key
        self.ciphers: dict[bytes, Any] = {}

    def __repr__(self) -> str:
        return "<SessionKey>"

    def __reduce__(self) -> tuple[type["SessionKey"], tuple[Any, ...]]:
        return SessionKey, (self.secret, self.storage_key)  # ciphers cannot be copied


class StorageKeys:
    """The storage keys of one session name."""

    def __init__(self, prefix: str, session_name: str) -> None:
        # The part that all of them share, hashed once.
        scope = length_prefixed(prefix.encode()) + length_prefixed(session_name.encode())
        self._scope = hashlib.blake2b(scope, digest_size=20, person=b"dms1-storage")

    def of(self, session_key: str) -> str:
        """Return the 40 hex characters under which a store knows the session; they do not lead back to its key."""
        key = session_key.encode()
        digest = self._scope.copy()
        digest.update(len(key).to_bytes(2, "big") + key)  # length_prefixed(), inlined: this runs in each request
        return digest.hexdigest()

    def key(self, session_key: str) -> SessionKey:
        """Return a session key together with its storage key."""
        return SessionKey(session_key, self.of(session_key))


class Secret:
    """One secret of the ring, and the keys derived from it for one KEY_PREFIX and session name."""

    def __init__(self, secret: bytes, prefix: str, session_name: str) -> None:
        self._pseudorandom_key = hmac.digest(SALT, secret, "sha256")
        self._scope = length_prefixed(prefix.encode()) + length_prefixed(session_name.encode())
        self._derived: dict[str, bytes] = {}
        self.kid = self._expand(b"dms1 kid")[:KID_LENGTH]

    def __repr__(self) -> str:
        return f"<Secret {self.kid.hex()}>"

    def key(self, purpose: str) -> bytes:
        """Return the 32-byte key for a purpose, such as "record-mac"; no key ever serves two."""
        try:
            return self._derived[purpose]
        except KeyError:
            info = length_prefixed(b"dms1") + length_prefixed(purpose.encode()) + self._scope
            return self._derived.setdefault(purpose, self._expand(info))

    def sealing_key(self, purpose: str, context: bytes) -> bytes:
        """Return the 32-byte key that seals one context: a session key, or an hour of cookies."""
        return hmac.digest(self.key(purpose), context, "sha256")

    def _expand(self, info: bytes) -> bytes:
        return hmac.digest(self._pseudorandom_key, info + b"\x01", "sha256")


class Keyring:
    """The secrets of one session name: the first one protects what is written, and all of them can read.

    A record names its secret by ``kid``, so that exactly one key is tried.
    """

    def __init__(self, secrets: Iterable[str | bytes], prefix: str, session_name: str) -> None:
        given = [secret.encode() if isinstance(secret, str) else secret for secret in secrets]
        if not all(given):
            raise ImproperlyConfigured(
                "SECRET_KEY, SECRET_KEY_FALLBACKS or KEYS of MULTISESSION has an empty secret, with which anybody "
                "could forge sessions. Remove it."
            )
        ring = [Secret(secret, prefix, session_name) for secret in given]
        self.current = ring[0]
        # Reversed, so that of two equal secrets the earlier one is kept.
        self.by_kid: Final[Mapping[bytes, Secret]] = {secret.kid: secret for secret in reversed(ring)}

    def __iter__(self) -> Iterator[Secret]:
        return iter(self.by_kid.values())

    def find(self, kid: bytes) -> Secret | None:
        """Return the secret with this kid, or None if it is no longer configured."""
        return self.by_kid.get(kid)
