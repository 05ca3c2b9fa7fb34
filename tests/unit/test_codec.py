"""Payloads: only what we wrote, where we wrote it, is read."""

from __future__ import annotations

import base64
import os
import zlib
from types import SimpleNamespace

import pytest

from django_multisession import codec, cookie_codec
from django_multisession.codec import MAX_INFLATED, Header, RecordCodec
from django_multisession.cookie_codec import CookieCodec, CookieContent
from django_multisession.envelope import ENDED, LENGTH, MOVED
from django_multisession.exceptions import InvalidRecord
from django_multisession.keys import Keyring, SessionKey, StorageKeys

KEY = StorageKeys("", "default").key("k" * 32)
HEADER = Header.new(b"version!", 1, 2, 3, 4000)
CONTENT = CookieContent(HEADER, b"\xab" * 20, 7, b"plaintext")
LIMIT = 100_000


def ring(*secrets: str, prefix: str = "", name: str = "default") -> Keyring:
    return Keyring(secrets or ("test-secret",), prefix, name)


@pytest.fixture(params=[False, True], ids=["authenticated", "encrypted"])
def encrypt(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def records(encrypt: bool, compress: int | None = None, keyring: Keyring | None = None) -> RecordCodec:
    return RecordCodec(keyring or ring(), encrypt=encrypt, compress=compress)


def cookies(encrypt: bool, compress: int | None = None, keyring: Keyring | None = None) -> CookieCodec:
    return CookieCodec(keyring or ring(), encrypt=encrypt, compress=compress, size=LIMIT, chunks=3)


def pad(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def unpad(payload: bytes) -> str:
    return base64.urlsafe_b64encode(payload).rstrip(b"=").decode()


BODIES = ("empty", "short", "random", "long")  # workers of pytest-xdist must agree about names

# Records.


@pytest.mark.parametrize("body", [b"", b"x", os.urandom(1000), b"x" * 100_000], ids=BODIES)
@pytest.mark.parametrize("compress", [None, 0, 500])
def test_record_comes_back(encrypt: bool, body: bytes, compress: int | None) -> None:
    written = records(encrypt, compress).encode(HEADER, body, KEY)
    header, plaintext = records(encrypt).decode(written, KEY)
    assert plaintext == body
    assert header.version == HEADER.version


def test_record_changed_in_any_bit_is_unreadable(encrypt: bool) -> None:
    written = records(encrypt).encode(HEADER, b"body", KEY)
    for bit in range(len(written) * 8):
        forged = bytearray(written)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidRecord):
            records(encrypt).decode(bytes(forged), KEY)


def test_record_cut_or_longer_is_unreadable(encrypt: bool) -> None:
    written = records(encrypt).encode(HEADER, b"body", KEY)
    for size in range(len(written)):
        with pytest.raises(InvalidRecord):
            records(encrypt).decode(written[:size], KEY)
    with pytest.raises(InvalidRecord):
        records(encrypt).decode(written + b"\0", KEY)


def test_record_moved_to_another_session_is_unreadable(encrypt: bool) -> None:
    written = records(encrypt).encode(HEADER, b"body", KEY)
    moved = SessionKey(KEY.secret, StorageKeys("", "default").of("o" * 32))
    with pytest.raises(InvalidRecord, match="moved"):
        records(encrypt).decode(written, moved)


def test_sealed_record_needs_the_session_key() -> None:
    written = records(True).encode(HEADER, b"body", KEY)
    with pytest.raises(InvalidRecord):
        records(True).decode(written, SessionKey("o" * 32, KEY.storage_key))
    assert b"body" not in written


@pytest.mark.parametrize(
    "other",
    [ring("another"), ring(prefix="p"), ring(name="cart")],
    ids=["secret", "prefix", "session name"],
)
def test_record_of_another_keyring_is_unreadable(encrypt: bool, other: Keyring) -> None:
    # A SessionKey keeps its ciphers, and belongs to one session name.
    written = records(encrypt, keyring=other).encode(HEADER, b"body", SessionKey(KEY.secret, KEY.storage_key))
    with pytest.raises(InvalidRecord):
        records(encrypt).decode(written, KEY)


def test_record_of_the_other_form_is_read(encrypt: bool) -> None:
    written = records(not encrypt).encode(HEADER, b"body" * 20, KEY)
    assert records(encrypt).decode(written, KEY)[1] == b"body" * 20


def test_pointer_is_sealed_whatever_the_settings_say(encrypt: bool) -> None:
    written = records(encrypt).encode(HEADER, b"o" * 32, KEY, MOVED)
    assert b"o" * 32 not in written
    for reader in (True, False):
        header, plaintext = records(reader).decode(written, KEY)
        assert header.flags == MOVED
        assert plaintext == b"o" * 32


@pytest.mark.parametrize("flag", [ENDED, MOVED])
def test_flag_of_what_is_no_session_is_authenticated(encrypt: bool, flag: int) -> None:
    written = bytearray(records(encrypt).encode(HEADER, b"body" * 20, KEY))
    written[1] |= flag
    with pytest.raises(InvalidRecord):
        records(encrypt).decode(bytes(written), KEY)


def test_record_of_a_fallback_is_read_until_that_is_removed(encrypt: bool) -> None:
    written = records(encrypt, keyring=ring("old")).encode(HEADER, b"body", KEY)
    rotated = records(encrypt, keyring=ring("new", "old"))
    header, _ = rotated.decode(written, KEY)
    assert header.kid == ring("old").current.kid
    rewritten = rotated.encode(header, b"body", KEY)
    assert Header.unpack(rewritten).kid == ring("new").current.kid
    with pytest.raises(InvalidRecord, match="not configured any more"):
        records(encrypt, keyring=ring("new")).decode(written, KEY)


def test_sealed_records_never_repeat_a_nonce() -> None:
    sealing = records(True)
    nonces = {sealing.encode(HEADER, b"", KEY)[LENGTH : LENGTH + 12] for _ in range(1000)}
    assert len(nonces) == 1000


# Compression.


def test_compression_starts_at_its_threshold() -> None:
    for size, compressed in ((499, False), (500, True)):
        written = records(False, 500).encode(HEADER, b"x" * size, KEY)
        assert bool(written[1]) is compressed


def test_compression_that_saves_nothing_is_left_out() -> None:
    body = os.urandom(1000)
    assert records(False, 0).encode(HEADER, body, KEY)[1] == 0


def test_compression_of_the_largest_body_comes_back(encrypt: bool) -> None:
    body = b"x" * 4_194_304  # MAX_INFLATED, as docs/format.md has it
    for plaintext, compressed in ((body, 1), (body + b"x", 0)):
        written = records(encrypt, 0).encode(HEADER, plaintext, KEY)
        assert written[1] == compressed
        assert records(encrypt).decode(written, KEY)[1] == plaintext


def claimed_compressed(body: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a record with a genuine tag over a body that claims to be compressed."""
    monkeypatch.setattr(codec, "zlib", SimpleNamespace(compress=lambda plaintext: body))
    written = records(False, 0).encode(HEADER, b"x" * (len(body) + 1), KEY)
    monkeypatch.undo()
    return written


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"no zlib stream", "damaged"),
        (zlib.compress(b"x" * 100)[:-1], "truncated"),
        (zlib.compress(b"x" * 100) + b"more", "truncated"),
        (zlib.compress(bytes(MAX_INFLATED + 1)), "inflates to more"),
        (b"", "truncated"),
    ],
)
def test_compressed_body_that_is_none_is_unreadable(body: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = claimed_compressed(body, monkeypatch)
    with pytest.raises(InvalidRecord, match=reason):
        records(False).decode(written, KEY)


def test_nothing_is_inflated_before_it_is_authenticated(encrypt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written = records(encrypt, 0).encode(HEADER, b"x" * 1000, KEY)

    def refuse(body: bytes) -> bytes:
        raise AssertionError("inflated what was not authenticated")

    monkeypatch.setattr(codec, "inflate", refuse)
    with pytest.raises(InvalidRecord):
        records(encrypt).decode(written[:-1] + bytes([written[-1] ^ 1]), KEY)


# Cookies.


@pytest.mark.parametrize("body", [b"", b"x", os.urandom(1000), b"x" * 5000], ids=BODIES)
@pytest.mark.parametrize("compress", [None, 0])
@pytest.mark.parametrize("chunks", [1, 3])
def test_cookie_comes_back(encrypt: bool, body: bytes, compress: int | None, chunks: int) -> None:
    content = CONTENT._replace(plaintext=body)
    value = cookies(encrypt, compress).encode(content, chunks)
    found = cookies(encrypt).decode(value)
    assert (found.sid, found.epoch, found.plaintext) == (content.sid, content.epoch, body)
    assert found.header.expires_at == HEADER.expires_at


def test_cookie_changed_in_any_bit_is_unreadable(encrypt: bool) -> None:
    payload = pad(cookies(encrypt).encode(CONTENT))
    for bit in range(len(payload) * 8):
        forged = bytearray(payload)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidRecord):
            cookies(encrypt).decode(unpad(bytes(forged)))


def test_cookie_cut_or_longer_is_unreadable(encrypt: bool) -> None:
    value = cookies(encrypt).encode(CONTENT)
    for size in range(len(value)):
        with pytest.raises(InvalidRecord):
            cookies(encrypt).decode(value[:size])
    with pytest.raises(InvalidRecord):
        cookies(encrypt).decode(value + "A")


def test_cookie_has_one_spelling(encrypt: bool) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for size in range(3):
        value = cookies(encrypt).encode(CONTENT._replace(plaintext=b"x" * size))
        accepted = []
        for character in alphabet:
            try:
                cookies(encrypt).decode(value[:-1] + character)
            except InvalidRecord:
                continue
            accepted.append(character)
        assert accepted == [value[-1]]


@pytest.mark.parametrize("value", ["=", "AQ==", "AQ\n", "A Q", "A+/Q", "ä", "\ud800", "\0"])
def test_cookie_outside_of_the_alphabet_is_unreadable(encrypt: bool, value: str) -> None:
    with pytest.raises(InvalidRecord, match="not a cookie of ours"):
        cookies(encrypt).decode(value)


def test_cookie_over_its_limit_is_not_decoded(encrypt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    value = cookies(encrypt).encode(CONTENT)
    exactly = CookieCodec(ring(), encrypt=encrypt, compress=None, size=len(value))
    less = CookieCodec(ring(), encrypt=encrypt, compress=None, size=len(value) - 1)
    assert exactly.decode(value).sid == CONTENT.sid
    monkeypatch.setattr(cookie_codec, "base64url", None)
    with pytest.raises(InvalidRecord, match="not a cookie of ours"):
        less.decode(value)


def test_cookie_tells_its_number_of_chunks_under_authentication(encrypt: bool) -> None:
    value = cookies(encrypt).encode(CONTENT, chunks=3)
    assert CookieCodec.chunks(value) == 3
    forged = bytearray(pad(value))
    forged[LENGTH] = 2
    with pytest.raises(InvalidRecord, match="forged"):
        cookies(encrypt).decode(unpad(bytes(forged)))


@pytest.mark.parametrize("value", ["", "x", "!" * 44, "ä" * 44, "A" * 43, "\\u0041" * 4 + "A" * 20])
def test_cookie_that_is_none_of_ours_comes_in_one_chunk(value: str) -> None:
    assert CookieCodec.chunks(value) == 1


def test_cookie_of_the_other_engine_is_unreadable(encrypt: bool) -> None:
    value = cookies(not encrypt).encode(CONTENT._replace(plaintext=b"x" * 100))
    with pytest.raises(InvalidRecord):
        cookies(encrypt).decode(value)


@pytest.mark.parametrize("other", [ring("another"), ring(prefix="p"), ring(name="cart")])
def test_cookie_of_another_keyring_is_unreadable(encrypt: bool, other: Keyring) -> None:
    value = cookies(encrypt, keyring=other).encode(CONTENT)
    with pytest.raises(InvalidRecord):
        cookies(encrypt).decode(value)


def test_record_is_no_cookie(encrypt: bool) -> None:
    written = records(encrypt).encode(HEADER, b"x" * 100, KEY)
    with pytest.raises(InvalidRecord):
        cookies(encrypt).decode(unpad(written))


def test_encrypted_cookie_hides_its_content() -> None:
    payload = pad(cookies(True).encode(CONTENT))
    assert CONTENT.plaintext not in payload
    assert CONTENT.sid not in payload


def test_encrypted_cookies_change_their_key_each_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "os", SimpleNamespace(urandom=bytes))

    def ciphertext(issued_at: int) -> bytes:
        header = Header.new(b"version!", 1, 2, 3, issued_at)
        # 12 bytes of nonce; what follows depends on key and nonce, but not on the header.
        return pad(cookies(True).encode(CONTENT._replace(header=header)))[LENGTH + 13 : -16]

    assert ciphertext(7200) == ciphertext(10799)
    assert ciphertext(7199) != ciphertext(7200) != ciphertext(10800)
