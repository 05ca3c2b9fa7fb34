"""Compute the known answers of docs/format.md, without the package that they test.

HKDF is written from RFC 5869 and checked against its first test case; zlib's container from RFC 1950 and 1951, with
stored blocks, so that no compressor decides the bytes. AES-256-GCM is that of the library cryptography.

    python tests/vectors/compute.py > tests/vectors/format1.json
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import sys
import zlib
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET = "not-a-secret-only-a-test-vector-1"
OLD_SECRET = "not-a-secret-only-a-test-vector-0"
PREFIX = "shop:"
NAME = "default"
OTHER_NAME = "cart"

# 36 random bytes; 252, 253, 254 and 255 are dropped, for 252 is the largest multiple of 36 in a byte.
KEY_RANDOM = bytes([252, *range(16), 253, 254, *range(236, 252), 255])
VERSION = bytes(range(1, 9))
NONCE = bytes(range(0xA0, 0xAC))
SID = bytes(range(20))
NOW = 1_800_000_000
AGE = 14 * 24 * 3600
DATA = '{"cart":[3,5],"name":"Zo\\u00eb"}'
PLAINTEXT = b"\0\0" + DATA.encode()  # no options


def hkdf_extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.new(salt, secret, hashlib.sha256).digest()


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    output = block = b""
    number = 1
    while len(output) < length:
        block = hmac.new(key, block + info + bytes([number]), hashlib.sha256).digest()
        output += block
        number += 1
    return output[:length]


def check_hkdf() -> None:
    """Compare with RFC 5869, appendix A.1."""
    key = hkdf_extract(bytes(range(0x0D)), b"\x0b" * 22)
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert hkdf_expand(key, bytes(range(0xF0, 0xFA)), 42).hex() == expected


def lp(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def derive(secret: str, purpose: str, prefix: str = PREFIX, name: str = NAME) -> bytes:
    info = lp(b"dms1") + lp(purpose.encode()) + lp(prefix.encode()) + lp(name.encode())
    return hkdf_expand(hkdf_extract(b"django_multisession/1", secret.encode()), info, 32)


def kid(secret: str) -> bytes:
    return hkdf_expand(hkdf_extract(b"django_multisession/1", secret.encode()), b"dms1 kid", 4)


def session_key(random: bytes) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(alphabet[byte % 36] for byte in random if byte < 252)[:32]


def storage_key(key: str, prefix: str = PREFIX, name: str = NAME) -> str:
    fields = lp(prefix.encode()) + lp(name.encode()) + lp(key.encode())
    return hashlib.blake2b(fields, digest_size=20, person=b"dms1-storage").hexdigest()


def header(secret: str, flags: int = 0) -> bytes:
    return bytes([1, flags]) + kid(secret) + VERSION + struct.pack(">IIII", NOW, 0, NOW + AGE, NOW)


def stored(plaintext: bytes) -> bytes:
    """Return a zlib stream of one stored block (RFC 1951, section 3.2.4)."""
    size = len(plaintext)
    block = b"\x01" + struct.pack("<HH", size, size ^ 0xFFFF) + plaintext
    return b"\x78\x01" + block + struct.pack(">I", zlib.adler32(plaintext))


def record(secret: str, body: bytes, flags: int = 0, *, seal: bool = False) -> bytes:
    head, key = header(secret, flags), session_key(KEY_RANDOM)
    place = storage_key(key).encode("ascii")
    if seal:
        sealing = hmac.new(derive(secret, "record-seal"), key.encode(), hashlib.sha256).digest()
        return head + NONCE + AESGCM(sealing).encrypt(NONCE, body, head + place)
    mac = hashlib.blake2b(head + place + body, digest_size=16, key=derive(secret, "record-mac"))
    return head + body + mac.digest()


def cookie(secret: str, body: bytes, flags: int = 0, *, seal: bool = False, epoch: int = 0, chunks: int = 1) -> str:
    associated = header(secret, flags) + bytes([chunks])
    inner = SID + struct.pack(">I", epoch) + body
    if seal:
        hour = struct.pack(">I", NOW // 3600)
        sealing = hmac.new(derive(secret, "cookie-seal"), hour, hashlib.sha256).digest()
        payload = associated + NONCE + AESGCM(sealing).encrypt(NONCE, inner, associated)
    else:
        tag = hmac.new(derive(secret, "cookie-mac"), associated + inner, hashlib.sha256).digest()
        payload = associated + inner + tag
    return base64.urlsafe_b64encode(payload).decode().rstrip("=")


def main() -> dict[str, Any]:
    check_hkdf()
    key = session_key(KEY_RANDOM)
    purposes = ("record-mac", "record-seal", "cookie-mac", "cookie-seal")
    return {
        "secret": SECRET,
        "old_secret": OLD_SECRET,
        "prefix": PREFIX,
        "session_name": NAME,
        "other_session_name": OTHER_NAME,
        "version": VERSION.hex(),
        "nonce": NONCE.hex(),
        "sid": SID.hex(),
        "now": NOW,
        "age": AGE,
        "data": DATA,
        "kid": kid(SECRET).hex(),
        "old_kid": kid(OLD_SECRET).hex(),
        "keys": {purpose: derive(SECRET, purpose).hex() for purpose in purposes},
        "other_keys": {purpose: derive(SECRET, purpose, "", OTHER_NAME).hex() for purpose in purposes},
        "key_random": KEY_RANDOM.hex(),
        "session_key": key,
        "storage_key": storage_key(key),
        "other_storage_key": storage_key(key, "", OTHER_NAME),
        "records": {
            "authenticated": record(SECRET, PLAINTEXT).hex(),
            "authenticated, compressed": record(SECRET, stored(PLAINTEXT), 1).hex(),
            "authenticated, old secret": record(OLD_SECRET, PLAINTEXT).hex(),
            "sealed": record(SECRET, PLAINTEXT, seal=True).hex(),
            "sealed, compressed": record(SECRET, stored(PLAINTEXT), 1, seal=True).hex(),
            "sealed, old secret": record(OLD_SECRET, PLAINTEXT, seal=True).hex(),
        },
        "cookies": {
            "signed": cookie(SECRET, PLAINTEXT),
            "signed, compressed": cookie(SECRET, stored(PLAINTEXT), 1),
            "signed, old secret": cookie(OLD_SECRET, PLAINTEXT),
            "signed, epoch 7, 3 chunks": cookie(SECRET, PLAINTEXT, epoch=7, chunks=3),
            "encrypted": cookie(SECRET, PLAINTEXT, seal=True),
            "encrypted, compressed": cookie(SECRET, stored(PLAINTEXT), 1, seal=True),
            "encrypted, old secret": cookie(OLD_SECRET, PLAINTEXT, seal=True),
            "encrypted, epoch 7, 3 chunks": cookie(SECRET, PLAINTEXT, seal=True, epoch=7, chunks=3),
        },
    }


if __name__ == "__main__":
    json.dump(main(), sys.stdout, indent=2)
    sys.stdout.write("\n")
