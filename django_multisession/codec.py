"""Session ⇄ payload: compress, then authenticate or seal, under the header of envelope.py. See docs/format.md.

Whether a payload is sealed comes from the settings, never from the payload: a writer to the store could claim
anything. A record of the other form, written before ENCRYPT was changed, is authenticated by that form's own key.
Reading authenticates first, then inflates with a cap; parsing is the caller's.
"""

import hashlib
import hmac
import os
import zlib
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import base64url
from .envelope import COMPRESSED, ENDED, LENGTH, MOVED, Header
from .exceptions import InvalidRecord
from .keys import Keyring, Secret, SessionKey

MAX_INFLATED = 4 * 1024 * 1024
"""Bytes to which a record may inflate; what is larger is stored as it is."""
COOKIE_INFLATES = 16  # decisions.md, D34
"""How many times its cookies' size a cookie session may have before compression; what is larger is not compressed.

Text shrinks to a third or a tenth. Without this limit, 3.9 kB of a visitor's cookie inflate to 3 MB for each request.
"""

_RECORD_TAG = 16
_COOKIE_TAG = 32
_NONCE = 12
_SEAL_TAG = 16
_SID = 20
_EPOCH = 4
_COUNT_END = 44
_NO_KEY = "its key is not configured any more"


def _seal(cipher: AESGCM, body: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, body, associated)


def _inflate(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plaintext = inflater.decompress(body, limit)
    except zlib.error as error:
        raise InvalidRecord("its compression is damaged") from error
    if not inflater.eof or inflater.unused_data:
        raise InvalidRecord(f"inflates to more than {limit} bytes, or is truncated")
    return plaintext


class _Codec:
    """What records and cookies share: the keyring and compression."""

    max_inflated = MAX_INFLATED

    def __init__(self, keyring: Keyring, *, encrypt: bool, compress: int | None) -> None:
        self._keyring = keyring
        self._secrets = keyring.by_kid
        self._compress = compress
        self._encrypt = encrypt

    @staticmethod
    def _unseal(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
        if len(sealed) < _NONCE + _SEAL_TAG:
            raise InvalidRecord("truncated")
        try:
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], associated)
        except InvalidTag as error:
            raise InvalidRecord("forged, damaged or moved") from error

    def _compressed(self, plaintext: bytes, least: int) -> tuple[bytes, int]:
        """Return the body, compressed if that is of use and it has so many bytes, and its flags."""
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


class RecordCodec(_Codec):
    """Payloads of the stores, bound to their storage key.

    ``encrypt`` says what is written. Both forms are read, so that switching it logs nobody out; each authenticates by a
    key of its own, so that neither can be made of the other.
    """

    def __init__(self, keyring: Keyring, *, encrypt: bool, compress: int | None) -> None:
        super().__init__(keyring, encrypt=encrypt, compress=compress)
        # To be copied: taking a key in takes as long as hashing a small record.
        self._macs = {it.kid: hashlib.blake2b(digest_size=_RECORD_TAG, key=it.key("record-mac")) for it in keyring}
        self._sealing = {it.kid: hmac.new(it.key("record-seal"), digestmod="sha256") for it in keyring}

    def encode(self, header: Header, plaintext: bytes, key: SessionKey, flags: int = 0) -> bytes:
        """Return the payload of a session, or with ENDED or MOVED in flags of what takes its place.

        A pointer holds a session key, and is sealed whatever the settings say. A tombstone without a body is not: there
        is nothing to hide, and whoever ends a session by its storage key has nothing to seal it with.
        """
        body, compressed = (plaintext, 0) if self._compress is None else self._compressed(plaintext, self._compress)
        secret = self._keyring.current
        packed = header.pack(secret.kid, flags | compressed)
        bound_to = key.storage_key.encode()
        if flags & MOVED or (self._encrypt and (plaintext or not flags & ENDED)):
            return packed + _seal(self._cipher_of(secret.kid, key), body, packed + bound_to)
        return packed + body + self._tag(secret.kid, packed, bound_to, body)

    def decode(self, payload: bytes, key: SessionKey) -> tuple[Header, bytes]:
        """Return header and plaintext; InvalidRecord unless we wrote exactly this, under this key."""
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
                raise refusal from None  # what is wrong with the form that the settings expect
        return header, _inflate(body, self.max_inflated) if header.flags & COMPRESSED else body

    def _opened(self, payload: bytes, kid: bytes, key: SessionKey) -> bytes:
        associated = payload[:LENGTH] + key.storage_key.encode()
        return self._unseal(self._cipher_of(kid, key), payload[LENGTH:], associated)

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
            cipher = key.ciphers[kid] = AESGCM(mac.digest())
        return cipher

    def _tag(self, kid: bytes, packed: bytes, bound_to: bytes, body: bytes) -> bytes:
        mac = self._macs[kid].copy()
        mac.update(packed + bound_to)
        mac.update(body)
        return mac.digest()


class CookieContent(NamedTuple):
    """What a cookie holds. ``sid`` is the random identity of the session, 20 bytes, and stays while the
    content changes; ``epoch`` counts how often its user was logged out everywhere. A repr shows nothing of it."""

    header: Header
    sid: bytes
    epoch: int
    plaintext: bytes

    def __repr__(self) -> str:
        return f"<CookieContent, {len(self.plaintext)} bytes>"

    def __sentry_repr__(self) -> str:
        return repr(self)  # sentry-sdk shows the items of a tuple otherwise


class CookieCodec(_Codec):
    """Cookie values: everything the session knows, authenticated, and with encrypt unreadable.

    ``size`` is how many bytes a browser keeps of one cookie, and ``chunks`` how many cookies a session may take.
    """

    def __init__(
        self, keyring: Keyring, *, encrypt: bool, compress: int | None, size: int = 4096, chunks: int = 1
    ) -> None:
        super().__init__(keyring, encrypt=encrypt, compress=compress)
        self._longest = size * chunks
        self._most_chunks = chunks
        self.max_inflated = self._longest * COOKIE_INFLATES

    def encode(self, content: CookieContent, chunks: int = 1) -> str:
        """Return the value of a cookie that is split over so many chunks."""
        body, flags = content.plaintext, 0
        if self._compress is not None:
            body, flags = self._compressed(body, self._compress)
        secret = self._keyring.current
        packed = content.header.pack(secret.kid, flags) + bytes([chunks])
        inner = content.sid + content.epoch.to_bytes(_EPOCH, "big") + body
        if self._encrypt:
            sealed = _seal(self._hourly(secret, content.header.issued_at), inner, packed)
        else:
            sealed = inner + hmac.digest(secret.key("cookie-mac"), packed + inner, "sha256")
        return base64url.encode(packed + sealed)

    @staticmethod
    def chunks(first: str) -> int:
        """Return in how many chunks a cookie says it comes, by the first one; 1 if it is none of ours."""
        # Base64 of 33 bytes, the last of which is within the number behind the header.
        try:
            return base64url.decode(first[:_COUNT_END])[LENGTH] if len(first) >= _COUNT_END else 1
        except (ValueError, IndexError):
            return 1

    def decode(self, value: str) -> CookieContent:
        """Return the content; InvalidRecord unless we wrote exactly this, all its chunks in their order.

        A value that is longer than all its cookies can be is not even decoded.
        """
        if len(value) > self._longest:
            raise InvalidRecord("not a cookie of ours")
        try:
            payload = base64url.decode(value)
        except ValueError as error:
            raise InvalidRecord("not a cookie of ours") from error
        header = Header.unpack(payload)
        secret = self._find(header)
        packed, inner = payload[: LENGTH + 1], payload[LENGTH + 1 :]
        if self._encrypt:
            inner = self._unseal(self._hourly(secret, header.issued_at), inner, packed)
        else:
            inner, tag = inner[:-_COOKIE_TAG], inner[-_COOKIE_TAG:]
            if not hmac.compare_digest(tag, hmac.digest(secret.key("cookie-mac"), packed + inner, "sha256")):
                raise InvalidRecord("forged, damaged or of another session")
        if len(inner) < _SID + _EPOCH:
            raise InvalidRecord("truncated")
        if packed[LENGTH] > self._most_chunks:
            raise InvalidRecord(f"it takes {packed[LENGTH]} cookies, and CHUNKS allows {self._most_chunks}")
        sid, epoch, body = inner[:_SID], inner[_SID : _SID + _EPOCH], inner[_SID + _EPOCH :]
        plaintext = _inflate(body, self.max_inflated) if header.flags & COMPRESSED else body
        return CookieContent(header, sid, int.from_bytes(epoch, "big"), plaintext)

    def _hourly(self, secret: Secret, issued_at: int) -> AESGCM:
        """Return the cipher of the hour: with random nonces, one key must not seal 2**32 messages
        (NIST SP 800-38D, section 8.3)."""
        return _hourly_cipher(secret, issued_at // 3600)


@lru_cache(maxsize=64)
def _hourly_cipher(secret: Secret, hour: int) -> AESGCM:
    return AESGCM(secret.sealing_key("cookie-seal", hour.to_bytes(4, "big")))
