"""Session ⇄ payload: compress, then authenticate or seal, under a header. See docs/format.md.

The settings say whether a payload is sealed, never the payload itself: whoever can write to the store could claim
anything. A record of the other form, written before ENCRYPT was changed, is authenticated by that form's own key.
Decoding authenticates first, then inflates up to a limit; the caller parses the result.
"""

import hashlib
import hmac
import os
import zlib
from typing import Any, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from .envelope import (
    COMPRESSED,
    ENDED,
    FORMAT,
    KNOWN_FLAGS,
    LATEST,
    LAYOUT,
    LENGTH,
    MOVED,
    REGISTERED,
    SKEW,
    clamp,
)
from .exceptions import InvalidRecord
from .keys import Keyring, Secret, SessionKey

MAX_INFLATED = 4 * 1024 * 1024
"""Bytes to which a record may inflate; what is larger is stored as it is."""

_RECORD_TAG = 16
_NONCE = 12
_SEAL_TAG = 16
_NO_KEY = "its key is not configured any more"


class Header(NamedTuple):  # made in a third of the time of a frozen dataclass
    """The header of a payload, as it is stored. Times are whole seconds since 1970, 0 for never."""

    format: int
    flags: int
    kid: bytes
    version: bytes
    created_at: int
    authenticated_at: int
    expires_at: int
    issued_at: int

    @classmethod
    def new(
        cls,
        version: bytes,
        created_at: float,
        authenticated_at: float,
        expires_at: float,
        issued_at: float,
        *,
        flags: int = 0,
    ) -> Self:
        """Return the header for a write, with its times clamped; pack() adds the secret's kid and further flags."""
        times = int(created_at), int(authenticated_at), int(expires_at), int(issued_at)
        if min(times) < 0 or max(times) > LATEST:
            times = clamp(created_at), clamp(authenticated_at), clamp(expires_at), clamp(issued_at)
        return tuple.__new__(cls, (FORMAT, flags, b"", version, *times))

    @classmethod
    def continuing(
        cls,
        previous: "Header | None",
        now: float,
        age: int,
        users: tuple[Any, Any],
        *,
        registers: bool = False,
        is_new: bool = False,
    ) -> Self:
        """Return the header of a session that is written now, to live for age seconds, and continues a previous one.

        ``users`` are the ids of its user and of the previous one's, None for nobody. ``registers`` tells that the
        registry has a row of the login, and ``is_new`` that the session gets another key than the previous one had.
        """
        user, before = users
        created_at = now if previous is None else previous.created_at
        authenticated_at = 0.0 if user is None else now
        flags = REGISTERED if registers and user is not None else 0
        if previous is not None and user is not None and user == before:
            authenticated_at = previous.authenticated_at
            flags |= 0 if is_new else previous.flags & REGISTERED
        return cls.new(os.urandom(8), created_at, authenticated_at, int(now) + age, now, flags=flags)

    def pack(self, kid: bytes, flags: int = 0) -> bytes:
        """Return the header as it is stored, before a body that the secret ``kid`` protects."""
        return LAYOUT.pack(FORMAT, self[1] & REGISTERED | flags, kid, *self[3:])

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """Return the header of a payload; InvalidRecord if it is too short or of a format we do not know."""
        if len(payload) < LENGTH:
            raise InvalidRecord("truncated")
        header = tuple.__new__(cls, LAYOUT.unpack_from(payload))
        if header[0] != FORMAT:
            raise InvalidRecord(f"unknown format {header.format}")
        if header[1] & ~KNOWN_FLAGS:
            raise InvalidRecord("unknown flags")
        return header

    def expired(self, now: float, skew: int = SKEW) -> bool:
        """Tell whether the payload is past its end by more seconds than two clocks may differ."""
        return now > self.expires_at + skew


def seal(cipher: AESGCM, body: bytes, associated: bytes) -> bytes:
    """Return nonce, ciphertext and tag of a body; ``associated`` is authenticated with it."""
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, body, associated)


def inflate(body: bytes, limit: int) -> bytes:
    """Return a body as it was before compression; InvalidRecord if it is damaged, or has more bytes than the limit."""
    inflater = zlib.decompressobj()
    try:
        plaintext = inflater.decompress(body, limit)
    except zlib.error as error:
        raise InvalidRecord("its compression is damaged") from error
    if not inflater.eof or inflater.unused_data:
        raise InvalidRecord(f"inflates to more than {limit} bytes, or is truncated")
    return plaintext


class Codec:
    """Base of the two codecs: the keyring, and compression."""

    max_inflated = MAX_INFLATED

    def __init__(self, keyring: Keyring, *, encrypt: bool, compress: int | None) -> None:
        self._keyring = keyring
        self._secrets = keyring.by_kid
        self._compress = compress
        self._encrypt = encrypt

    @staticmethod
    def _unseal(cipher: AESGCM, payload: bytes, start: int, associated: bytes) -> bytes:
        """Open what is sealed in a payload from its byte ``start`` on."""
        if len(payload) < start + _NONCE + _SEAL_TAG:
            raise InvalidRecord("truncated")
        body = start + _NONCE
        try:
            return cipher.decrypt(payload[start:body], payload[body:], associated)
        except InvalidTag as error:
            raise InvalidRecord("forged, damaged or moved") from error

    def _compressed(self, plaintext: bytes, least: int) -> tuple[bytes, int]:
        """Return the body, compressed if it has at least so many bytes and becomes shorter, and its flags."""
        if least <= len(plaintext) <= self.max_inflated:
            body = zlib.compress(plaintext)
            if len(body) < len(plaintext):
                return body, COMPRESSED
        return plaintext, 0

    def _find(self, header: Header) -> Secret:
        secret = self._secrets.get(header.kid)
        if secret is None:
            raise InvalidRecord(_NO_KEY)
        return secret


class RecordCodec(Codec):
    """Payloads of the stores, bound to their storage key.

    ``encrypt`` decides what is written. Both forms can be read, so that switching it logs nobody out. Each has an
    authentication key of its own, so that neither can be turned into the other.
    """

    def __init__(self, keyring: Keyring, *, encrypt: bool, compress: int | None) -> None:
        super().__init__(keyring, encrypt=encrypt, compress=compress)
        # Keyed once, then copied: setting the key takes as long as hashing a small record.
        self._macs = {it.kid: hashlib.blake2b(digest_size=_RECORD_TAG, key=it.key("record-mac")) for it in keyring}
        self._sealing = {it.kid: HMAC(it.key("record-seal"), SHA256()) for it in keyring}  # half as dear as Python's

    def encode(self, header: Header, plaintext: bytes, key: SessionKey, flags: int = 0) -> bytes:
        """Return the payload of a session, or of the tombstone (ENDED in flags) or pointer (MOVED) in place of one.

        A pointer holds a session key, so it is sealed whatever the settings say. A tombstone without a body is never
        sealed: it has nothing to hide, and whoever ends a session by its storage key has no key to seal it with.
        """
        body, compressed = (plaintext, 0) if self._compress is None else self._compressed(plaintext, self._compress)
        secret = self._keyring.current
        packed = header.pack(secret.kid, flags | compressed)
        bound_to = key.storage_key.encode()
        if flags & MOVED or (self._encrypt and (plaintext or not flags & ENDED)):
            return packed + seal(self._cipher_of(secret.kid, key), body, packed + bound_to)
        return packed + body + self._tag(secret.kid, packed, bound_to, body)

    def decode(self, payload: bytes, key: SessionKey) -> tuple[Header, bytes]:
        """Return header and plaintext; InvalidRecord unless we wrote exactly this payload, under this key."""
        header = Header.unpack(payload)
        secret = self._find(header)
        is_sealed = self._encrypt or header.flags & MOVED
        try:
            body = self._opened(payload, secret.kid, key) if is_sealed else self._verified(payload, secret.kid, key)
        except InvalidRecord as refusal:
            if header.flags & MOVED:
                raise
            try:
                body = self._verified(payload, secret.kid, key) if is_sealed else self._opened(payload, secret.kid, key)
            except InvalidRecord:
                raise refusal from None  # the error of the form that the settings expect
        return header, inflate(body, self.max_inflated) if header.flags & COMPRESSED else body

    def _opened(self, payload: bytes, kid: bytes, key: SessionKey) -> bytes:
        associated = payload[:LENGTH] + key.storage_key.encode()
        return self._unseal(self._cipher_of(kid, key), payload, LENGTH, associated)

    def _verified(self, payload: bytes, kid: bytes, key: SessionKey) -> bytes:
        body, tag = payload[LENGTH:-_RECORD_TAG], payload[-_RECORD_TAG:]
        if not hmac.compare_digest(tag, self._tag(kid, payload[:LENGTH], key.storage_key.encode(), body)):
            raise InvalidRecord("forged, damaged or moved")
        return body

    def _cipher_of(self, kid: bytes, key: SessionKey) -> AESGCM:
        """Return the cipher of a session, whose key is Secret.sealing_key("record-seal", session key)."""
        cipher = key.ciphers.get(kid)
        if cipher is None:
            mac = self._sealing[kid].copy()
            mac.update(key.secret.encode())
            cipher = key.ciphers[kid] = AESGCM(mac.finalize())
        return cipher

    def _tag(self, kid: bytes, packed: bytes, bound_to: bytes, body: bytes) -> bytes:
        mac = self._macs[kid].copy()
        mac.update(packed + bound_to)
        mac.update(body)
        return mac.digest()
