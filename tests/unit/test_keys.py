"""Secrets, what is derived from them, and new session keys. Known answers are in test_vectors.py."""

from __future__ import annotations

import string
from collections import Counter
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_multisession import keys
from django_multisession.keys import (
    Keyring,
    Secret,
    StorageKeys,
    length_prefixed,
    new_session_key,
)

KEY = "k" * 32


def test_new_session_key_has_djangos_length_and_alphabet() -> None:
    seen = {new_session_key() for _ in range(1000)}
    assert len(seen) == 1000
    assert {len(key) for key in seen} == {32}
    assert set("".join(seen)) == set(string.ascii_lowercase + string.digits)


def test_new_session_key_takes_every_character_equally_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Every byte as often as any other: so must be every character.
    source = bytes(range(256)) * 9
    taken = iter([source[start : start + 36] for start in range(0, len(source), 36)])
    monkeypatch.setattr(keys, "_KEY_LENGTH", len(source) - 9 * 4)
    monkeypatch.setattr(keys, "os", SimpleNamespace(urandom=lambda size: next(taken)))
    assert set(Counter(new_session_key()).values()) == {9 * 252 // 36}


def test_new_session_key_asks_again_after_too_many_unfair_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([b"\xff" * 36, b"\xfe" * 30 + b"\x00" * 6, b"\x01" * 36])
    monkeypatch.setattr(keys, "os", SimpleNamespace(urandom=lambda size: next(answers)))
    assert new_session_key() == "a" * 6 + "b" * 26


@pytest.mark.parametrize("other", [("a", "bcd", KEY), ("", "abcd", KEY), ("ab", "cd", KEY[1:]), ("ab", "c", "d" + KEY)])
def test_storage_key_differs_by_each_field(other: tuple[str, str, str]) -> None:
    assert StorageKeys(*other[:2]).of(other[2]) != StorageKeys("ab", "cd").of(KEY)


def test_storage_key_is_40_hex_characters() -> None:
    assert len(bytes.fromhex(StorageKeys("", "default").of(KEY))) == 20


def test_length_prefixed_refuses_what_its_length_cannot_hold() -> None:
    assert length_prefixed(b"ab") == b"\0\2ab"
    with pytest.raises(OverflowError):
        length_prefixed(b"x" * 65536)


def test_secret_keys_differ_by_purpose_prefix_and_session_name() -> None:
    scopes = [("", "default"), ("", "cart"), ("p", "default"), ("d", "efault")]
    purposes = ["record-mac", "record-seal", "cookie-mac", "cookie-seal"]
    derived = {Secret(b"s", *scope).key(purpose) for scope in scopes for purpose in purposes}
    assert len(derived) == len(scopes) * len(purposes)


def test_secret_key_is_derived_once() -> None:
    secret = Secret(b"s", "", "default")
    assert secret.key("record-mac") is secret.key("record-mac")


def test_sealing_key_differs_by_context() -> None:
    secret = Secret(b"s", "", "default")
    assert secret.sealing_key("record-seal", b"a") != secret.sealing_key("record-seal", b"b")


def test_secret_repr_does_not_show_it() -> None:
    secret = Secret(b"obviously-fake", "", "default")
    secret.key("record-mac")
    assert repr(secret) == f"<Secret {secret.kid.hex()}>"


def test_keyring_writes_with_the_first_and_reads_with_all() -> None:
    ring = Keyring(["new", b"old"], "", "default")
    assert ring.current.kid == Secret(b"new", "", "default").kid
    for secret in (b"new", b"old"):
        kid = Secret(secret, "", "default").kid
        found = ring.find(kid)
        assert found is not None
        assert found.kid == kid


def test_keyring_unknown_kid_is_none() -> None:
    assert Keyring(["new"], "", "default").find(b"none") is None


def test_keyring_equal_secrets_are_one() -> None:
    ring = Keyring(["same", b"same"], "", "default")
    assert ring.find(ring.current.kid) is ring.current


@pytest.mark.parametrize("secrets", [[""], ["not-a-secret", ""], [b""]])
def test_keyring_refuses_an_empty_secret(secrets: list[str | bytes]) -> None:
    with pytest.raises(ImproperlyConfigured, match="empty secret"):
        Keyring(secrets, "", "default")
