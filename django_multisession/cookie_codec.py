"""Session ⇄ cookie value: compressed, then signed or sealed, as codec.py does it for records, then Base64.

See docs/format.md.
"""

import hmac
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import base64url
from .codec import Codec, Header, inflate, seal
from .envelope import COMPRESSED, LENGTH
from .exceptions import InvalidRecord
from .keys import Keyring, Secret
from .reprs import shown_as

COOKIE_INFLATES = 16  # decisions.md, D34
"""A session is compressed into cookies if it is at most this many times as large as they may be.

Text shrinks to a third or a tenth. Without this limit, 3.9 kB of a visitor's cookie inflate to 3 MB for each request.
"""

_COOKIE_TAG = 32
_SID = 20
_EPOCH = 4
_COUNT_END = 44


@shown_as(lambda content: f"{len(content.plaintext)} bytes")
class CookieContent(NamedTuple):
    """The content of a session's cookie.

    ``sid`` is the session's random identity, 20 bytes, which stays the same while the content changes. ``epoch`` is
    reserved: 0 in a new session, and kept as it was read.
    """

    header: Header
    sid: bytes
    epoch: int
    plaintext: bytes


class CookieCodec(Codec):
    """Encodes whole sessions as cookie values: signed, or with ``encrypt`` sealed.

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
        """Return the cookie value for this content; ``chunks`` is the number of cookies that it will be split over."""
        body, flags = content.plaintext, 0
        if self._compress is not None:
            body, flags = self._compressed(body, self._compress)
        secret = self._keyring.current
        packed = content.header.pack(secret.kid, flags) + bytes([chunks])
        inner = content.sid + content.epoch.to_bytes(_EPOCH, "big") + body
        if self._encrypt:
            sealed = seal(self._hourly(secret, content.header.issued_at), inner, packed)
        else:
            sealed = inner + hmac.digest(secret.key("cookie-mac"), packed + inner, "sha256")
        return base64url.encode(packed + sealed)

    @staticmethod
    def chunks(first: str) -> int:
        """Return how many chunks a cookie has, as its first chunk claims; 1 if it is none of ours."""
        # These characters decode to 33 bytes: the header, and behind it the number of chunks.
        try:
            return base64url.decode(first[:_COUNT_END])[LENGTH] if len(first) >= _COUNT_END else 1
        except (ValueError, IndexError):
            return 1

    def decode(self, value: str) -> CookieContent:
        """Return the content; InvalidRecord unless we wrote exactly this value, with all its chunks in order.

        A value that is longer than the cookies may be together is not even decoded.
        """
        if len(value) > self._longest:
            raise InvalidRecord("not a cookie of ours")
        try:
            payload = base64url.decode(value)
        except ValueError as error:
            raise InvalidRecord("not a cookie of ours") from error
        header = Header.unpack(payload)
        secret = self._find(header)
        packed = payload[: LENGTH + 1]
        if self._encrypt:
            inner = self._unseal(self._hourly(secret, header.issued_at), payload, LENGTH + 1, packed)
        else:
            inner, tag = payload[LENGTH + 1 : -_COOKIE_TAG], payload[-_COOKIE_TAG:]
            if not hmac.compare_digest(tag, hmac.digest(secret.key("cookie-mac"), packed + inner, "sha256")):
                raise InvalidRecord("forged, damaged or of another session")
        if len(inner) < _SID + _EPOCH:
            raise InvalidRecord("truncated")
        if packed[LENGTH] > self._most_chunks:
            raise InvalidRecord(f"it takes {packed[LENGTH]} cookies, and CHUNKS allows {self._most_chunks}")
        sid, epoch, body = inner[:_SID], inner[_SID : _SID + _EPOCH], inner[_SID + _EPOCH :]
        plaintext = inflate(body, self.max_inflated) if header.flags & COMPRESSED else body
        return CookieContent(header, sid, int.from_bytes(epoch, "big"), plaintext)

    def _hourly(self, secret: Secret, issued_at: int) -> AESGCM:
        """Return the cipher of the hour.

        With random nonces, one key must not seal 2**32 messages (NIST SP 800-38D, section 8.3).
        """
        return _hourly_cipher(secret, issued_at // 3600)


@lru_cache(maxsize=64)
def _hourly_cipher(secret: Secret, hour: int) -> AESGCM:
    return AESGCM(secret.sealing_key("cookie-seal", hour.to_bytes(4, "big")))
