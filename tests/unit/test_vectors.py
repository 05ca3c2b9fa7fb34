"""Records and cookies are, byte for byte, what docs/format.md says: tests/vectors/compute.py computed them apart."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from django_multisession import codec
from django_multisession.bridge import run_sync
from django_multisession.codec import Header, RecordCodec
from django_multisession.cookie_codec import CookieCodec, CookieContent
from django_multisession.keys import Keyring, SessionKey, StorageKeys, new_session_key
from django_multisession.sessions.cookie import CookieSession
from django_multisession.stores.memory import MemoryStore
from tests.vectors import compute

DIRECTORY = Path(__file__).resolve().parents[1] / "vectors"
KNOWN: dict[str, Any] = json.loads((DIRECTORY / "format1.json").read_text())
RECORDS, COOKIES = sorted(KNOWN["records"]), sorted(KNOWN["cookies"])
DATA = json.loads(KNOWN["data"])
PLAINTEXT = b"\0\0" + KNOWN["data"].encode()  # no options
NEWEST = [KNOWN["secret"]]
RANDOM = {8: "version", 12: "nonce", 20: "sid", 36: "key_random"}


def fixed_random(size: int) -> bytes:
    return bytes.fromhex(KNOWN[RANDOM[size]])


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([*NEWEST, KNOWN["old_secret"]], KNOWN["prefix"], KNOWN["session_name"])


@pytest.fixture
def header() -> Header:
    now = KNOWN["now"]
    return Header.new(bytes.fromhex(KNOWN["version"]), now, 0, now + KNOWN["age"], now)


@pytest.fixture(autouse=True)
def nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "os", SimpleNamespace(urandom=fixed_random))


def is_written(name: str) -> bool:
    """Tell whether we write such a payload: zlib decides compressed bytes, and old secrets only read."""
    return "compressed" not in name and "old" not in name


def test_vectors_are_what_the_script_computes() -> None:
    assert compute.main() == KNOWN


def test_script_imports_nothing_of_the_package() -> None:
    imports = re.findall(r"^\s*(?:from|import) .*", (DIRECTORY / "compute.py").read_text(), re.MULTILINE)
    assert imports
    assert not any("django" in line for line in imports)


def test_kid_is_known(keyring: Keyring) -> None:
    assert keyring.current.kid.hex() == KNOWN["kid"]
    assert keyring.find(bytes.fromhex(KNOWN["old_kid"])) is not None


@pytest.mark.parametrize("purpose", sorted(KNOWN["keys"]))
def test_key_is_known(keyring: Keyring, purpose: str) -> None:
    assert keyring.current.key(purpose).hex() == KNOWN["keys"][purpose]
    other = Keyring(NEWEST, "", KNOWN["other_session_name"])
    assert other.current.key(purpose).hex() == KNOWN["other_keys"][purpose]


def test_storage_key_is_known() -> None:
    key = KNOWN["session_key"]
    assert StorageKeys(KNOWN["prefix"], KNOWN["session_name"]).of(key) == KNOWN["storage_key"]
    assert StorageKeys("", KNOWN["other_session_name"]).of(key) == KNOWN["other_storage_key"]


def test_session_key_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", fixed_random)
    assert new_session_key() == KNOWN["session_key"]


@pytest.mark.parametrize("name", RECORDS)
def test_record_is_read(keyring: Keyring, header: Header, name: str) -> None:
    records = RecordCodec(keyring, encrypt=name.startswith("sealed"), compress=None)
    payload = bytes.fromhex(KNOWN["records"][name])
    found, plaintext = records.decode(payload, SessionKey(KNOWN["session_key"], KNOWN["storage_key"]))
    assert plaintext == PLAINTEXT
    assert found[3:] == header[3:]
    assert found.kid.hex() == KNOWN["old_kid" if "old" in name else "kid"]


@pytest.mark.parametrize("name", [*filter(is_written, RECORDS)])
def test_record_is_written(keyring: Keyring, header: Header, name: str) -> None:
    records = RecordCodec(keyring, encrypt=name.startswith("sealed"), compress=None)
    payload = records.encode(header, PLAINTEXT, SessionKey(KNOWN["session_key"], KNOWN["storage_key"]))
    assert payload.hex() == KNOWN["records"][name]


@pytest.mark.parametrize("name", RECORDS)
def test_record_of_the_other_form_is_read(keyring: Keyring, name: str) -> None:
    records = RecordCodec(keyring, encrypt=not name.startswith("sealed"), compress=None)
    key = SessionKey(KNOWN["session_key"], KNOWN["storage_key"])
    assert records.decode(bytes.fromhex(KNOWN["records"][name]), key)[1] == PLAINTEXT


@pytest.mark.parametrize("name", COOKIES)
def test_cookie_is_read(keyring: Keyring, header: Header, name: str) -> None:
    cookies = CookieCodec(keyring, encrypt=name.startswith("encrypted"), compress=None, chunks=3)
    content = cookies.decode(KNOWN["cookies"][name])
    assert content.plaintext == PLAINTEXT
    assert content.sid.hex() == KNOWN["sid"]
    assert content.epoch == (7 if "epoch" in name else 0)
    assert content.header[3:] == header[3:]


@pytest.mark.parametrize("name", [*filter(is_written, COOKIES)])
def test_cookie_is_written(keyring: Keyring, header: Header, name: str) -> None:
    cookies = CookieCodec(keyring, encrypt=name.startswith("encrypted"), compress=None)
    content = CookieContent(header, bytes.fromhex(KNOWN["sid"]), 7 if "epoch" in name else 0, PLAINTEXT)
    assert cookies.encode(content, chunks=3 if "chunks" in name else 1) == KNOWN["cookies"][name]


@pytest.fixture
def entry(settings: Any) -> dict[str, Any]:
    """The session of the vectors, as a project would configure it."""
    settings.SESSION_COOKIE_AGE = KNOWN["age"]
    entry = {"KEY_PREFIX": KNOWN["prefix"], "KEYS": NEWEST}
    settings.MULTISESSION = {"default": entry}
    return entry


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", fixed_random)


@pytest.mark.usefixtures("fixed")
@pytest.mark.parametrize(("encrypt", "name"), [(False, "authenticated"), (True, "sealed")])
def test_session_on_a_server_is_written(entry: dict[str, Any], encrypt: bool, name: str) -> None:
    from django_multisession.engines.memory import SessionStore

    class AtNow(SessionStore):
        def clock(self) -> float:
            return float(KNOWN["now"])

    entry["ENCRYPT"] = encrypt
    session = AtNow()
    session.update(DATA)
    session.save()
    record = run_sync(MemoryStore().read(KNOWN["storage_key"]))
    session.delete()
    assert session.session_key == KNOWN["session_key"]
    assert record is not None
    assert record.payload.hex() == KNOWN["records"][name]


@pytest.mark.usefixtures("fixed", "entry")
@pytest.mark.parametrize("name", ["signed", "encrypted"])
def test_session_in_a_cookie_is_written(name: str) -> None:
    class AtNow(CookieSession):
        encrypt = name == "encrypted"

        def clock(self) -> float:
            return float(KNOWN["now"])

    session = AtNow()
    session.update(DATA)
    session.save()
    assert session.session_key == KNOWN["cookies"][name]
