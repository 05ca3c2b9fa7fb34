"""The cookie engines, in both colours: what they promise, and that nothing else is taken for a cookie of ours."""

from __future__ import annotations

import base64
import itertools
import string
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from django_multisession import cookie_codec
from django_multisession.cookies import MAX_SIZE
from django_multisession.engines import encrypted_cookies, signed_cookies
from django_multisession.keys import Secret
from django_multisession.sessions.cookie import CookieSession
from django_multisession.sessions.loading import named
from django_multisession.testing.drive import Drive, driving
from django_multisession.testing.visits import HOUR, Visit

SECURITY = "django.security.SuspiciousSession"
SECRET = "what nobody else may read"
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
"""base64url, in its order."""
ENGINES: dict[str, type[CookieSession]] = {
    "signed": signed_cookies.SessionStore,
    "encrypted": encrypted_cookies.SessionStore,
}

Configure = Callable[..., None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    def configure(**changes: Any) -> None:
        other = {**changes, "ENGINE": "django_multisession.engines.signed_cookies"}
        stack.enter_context(override_settings(MULTISESSION={"default": changes, "other": other}))

    with ExitStack() as stack:
        configure()
        yield configure


@pytest.fixture(params=ENGINES)
def session_class(request: pytest.FixtureRequest, configure: Configure) -> type[Any]:
    """Return an engine's SessionStore whose clock can be moved by setting its ``ahead``."""
    engine: Any = ENGINES[request.param]
    return type("SessionStore", (engine,), {"ahead": 0, "clock": lambda self: engine.clock(self) + self.ahead})


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, bool) as drive:
        yield drive


@pytest.fixture
def make(session_class: type[Any], drive: Drive) -> Callable[..., str]:
    """Return a function that makes a cookie's value."""
    return lambda expiry=None, **data: drive(Visit(session_class()).store(data, expiry))


@pytest.fixture
def read(session_class: type[Any], drive: Drive) -> Callable[[str | None], tuple[dict[str, Any], Visit]]:
    """Return a function that begins a request with a cookie and loads its session."""

    def read(value: str | None) -> tuple[dict[str, Any], Visit]:
        visit = Visit(session_class(value))
        return drive(visit.data()), visit

    return read


@pytest.fixture
def refuses(session_class: type[Any], drive: Drive, caplog: pytest.LogCaptureFixture) -> Callable[[str], None]:
    """Return a function that shows that a value is taken for no session, is logged, and not deleted."""

    async def refuse(value: str) -> None:
        caplog.clear()
        visit = Visit(session_class(value))
        assert await visit.data() == {}
        (warning,) = [record for record in caplog.records if record.name == SECURITY]
        assert value not in warning.getMessage()
        assert SECRET not in warning.getMessage()
        assert not visit.session.is_empty()
        await visit.save()
        assert visit.key == value
        await visit.set("new", True)
        await visit.save()
        assert visit.key != value
        assert await Visit(session_class(visit.key)).data() == {"new": True}

    return lambda value: drive(refuse(value))


def sid_of(session_class: type[Any], value: str) -> str:
    return str(session_class.codec().decode(value).sid.hex())


def raw(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


# What it holds.


def test_cookie_comes_back_as_it_was(make: Any, read: Any) -> None:
    data = {"text": "ÄÖÜ ☃", "nested": {"list": [1, [2, {"3": None}]]}}
    assert read(make(**data))[0] == data


@pytest.mark.parametrize("compress", [None, 0])
def test_cookie_is_compressed_where_configured(make: Any, read: Any, configure: Configure, compress: Any) -> None:
    configure(COMPRESS=compress)
    value = make(a=SECRET * 50)
    assert read(value)[0] == {"a": SECRET * 50}
    assert (len(value) < 500) is (compress == 0)


def test_cookie_is_of_a_safe_alphabet(make: Any) -> None:
    assert set(make(a="\"\\;, '=")) <= set(ALPHABET)


def test_cookie_is_unreadable_where_encrypted(make: Any, session_class: type[Any]) -> None:
    assert (SECRET.encode() in raw(make(a=SECRET))) is not session_class.encrypt


def test_cookie_without_data_is_a_cookie(make: Any, read: Any) -> None:
    data, visit = read(make())
    assert data == {}
    assert visit.key is not None


def test_sid_stays_over_saves(make: Any, read: Any, drive: Drive, session_class: type[Any]) -> None:
    value = make(a=1)
    _, visit = read(value)
    drive(visit.set("a", 2))
    drive(visit.save())
    assert visit.key != value
    assert sid_of(session_class, visit.key) == sid_of(session_class, value)


@pytest.mark.parametrize("operation", ["cycle_key", "create"])
def test_sid_is_new_after_a_new_key(
    make: Any, read: Any, drive: Drive, session_class: type[Any], operation: str
) -> None:
    value = make(a=1)
    _, visit = read(value)
    drive(getattr(visit, operation)())
    assert sid_of(session_class, visit.key) != sid_of(session_class, value)
    assert read(visit.key)[0] == {"a": 1}


def test_flush_leaves_nothing(make: Any, read: Any, drive: Drive) -> None:
    _, visit = read(make(a=1))
    drive(visit.flush())
    assert visit.key is None
    assert visit.session.is_empty()
    drive(visit.set("b", 1))
    drive(visit.save())
    assert read(visit.key)[0] == {"b": 1}


# When it ends.


@pytest.mark.parametrize("kind", ["seconds", "timedelta", "datetime"])
def test_expiry_holds_though_the_browser_keeps_the_cookie(
    make: Any, read: Any, session_class: type[Any], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    # Django ticket #19201.
    expiry = {
        "seconds": 300,
        "timedelta": timedelta(seconds=300),
        "datetime": timezone.now() + timedelta(seconds=300),
    }[kind]
    value = make(expiry, a=1)
    session_class.ahead = 290
    assert read(value)[0]["a"] == 1
    session_class.ahead = 300 + 300 // 8 + 1
    data, visit = read(value)
    assert (data, visit.key) == ({}, None)
    assert visit.session.is_empty()
    assert not [record for record in caplog.records if record.name == SECURITY]


@pytest.mark.parametrize(("expiry", "lifetime"), [(0, 2 * HOUR), (None, 2 * HOUR), (400 * 24 * HOUR, 400 * 24 * HOUR)])
@override_settings(SESSION_COOKIE_AGE=2 * HOUR)
def test_expiry_by_default_and_far_ahead(
    make: Any, read: Any, session_class: type[Any], expiry: int | None, lifetime: int
) -> None:
    value = make(expiry, a=1)
    session_class.ahead = lifetime - 10
    assert read(value)[0]["a"] == 1
    session_class.ahead = lifetime + 70
    assert read(value)[0] == {}


@pytest.mark.parametrize("expiry", [-1, -HOUR])
def test_expiry_in_the_past_ends_it(make: Any, read: Any, expiry: int) -> None:
    assert read(make(expiry, a=1))[0] == {}


def test_expiry_is_prolonged_by_a_save(make: Any, read: Any, drive: Drive, session_class: type[Any]) -> None:
    value = make(300, a=1)
    session_class.ahead = 250
    _, visit = read(value)
    drive(visit.save())
    session_class.ahead = 500
    assert read(visit.key)[0]["a"] == 1
    assert read(value)[0] == {}


@pytest.mark.parametrize("ahead", [-50, 50])
@override_settings(SESSION_COOKIE_AGE=HOUR)
def test_clock_of_one_host_50_s_ahead_is_no_matter(make: Any, read: Any, session_class: type[Any], ahead: int) -> None:
    session_class.ahead = ahead
    value = make(a=1)
    session_class.ahead = 0
    assert read(value)[0] == {"a": 1}
    session_class.ahead = HOUR + min(ahead, 0) + 50
    assert read(value)[0] == {"a": 1}


def test_hourly_keys_seal_encrypted_cookies(
    make: Any, read: Any, session_class: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie_codec._hourly_cipher.cache_clear()
    contexts = []
    derive = Secret.sealing_key

    def sealing_key(self: Secret, purpose: str, context: bytes) -> bytes:
        contexts.append((purpose, int.from_bytes(context, "big")))
        return derive(self, purpose, context)

    monkeypatch.setattr(Secret, "sealing_key", sealing_key)
    values = []
    for session_class.ahead in (0, HOUR, HOUR, 2 * HOUR):
        values.append(make(a=1))
    assert [read(value)[0] for value in values] == [{"a": 1}] * 4
    if not session_class.encrypt:
        assert contexts == []
        return
    hour = contexts[0][1]
    assert contexts == [("cookie-seal", hour), ("cookie-seal", hour + 1), ("cookie-seal", hour + 2)]


# Rotation of secrets.


def test_old_secret_still_reads_and_is_replaced_at_the_next_save(
    make: Any, read: Any, drive: Drive, configure: Configure
) -> None:
    configure(KEYS=["fake old"])
    value = make(a=1)
    configure(KEYS=["fake new", "fake old"])
    data, visit = read(value)
    assert data == {"a": 1}
    drive(visit.save())
    configure(KEYS=["fake new"])
    assert read(visit.key)[0] == {"a": 1}


def test_secret_key_fallbacks_still_read(make: Any, read: Any) -> None:
    old, new = "fake old", "fake new"
    with override_settings(SECRET_KEY=old):
        value = make(a=1)
    with override_settings(SECRET_KEY=new, SECRET_KEY_FALLBACKS=[old]):
        assert read(value)[0] == {"a": 1}


# What is none of ours.


def test_cookie_of_any_other_name_engine_or_prefix_is_refused(drive: Drive) -> None:
    kinds = list(itertools.product(("default", "other", "third"), ENGINES, ("", "one", "two")))
    values = {}
    accepted = set()
    for kind in kinds:
        with configured(kind) as session_class:
            visit = Visit(session_class())
            drive(visit.set("of", list(kind)))
            drive(visit.save())
            values[kind] = str(visit.key)
    for kind in kinds:
        with configured(kind) as session_class:
            for source, value in values.items():
                if drive(Visit(session_class(value)).data()):
                    accepted.add((source, kind))
    assert accepted == {(kind, kind) for kind in kinds}


class configured:  # noqa: N801 - a context manager, used like a function
    """Configure three sessions with a KEY_PREFIX; give the class of one of them on an engine."""

    def __init__(self, kind: tuple[str, str, str]) -> None:
        name, engine, prefix = kind
        entry = {"ENGINE": "django_multisession.engines.signed_cookies", "KEY_PREFIX": prefix}
        default = {"KEY_PREFIX": prefix}
        self._override = override_settings(MULTISESSION={"default": default, "other": entry, "third": entry})
        self._class = named(ENGINES[engine], name)

    def __enter__(self) -> type[CookieSession]:
        self._override.enable()
        return self._class

    def __exit__(self, *error: object) -> None:
        self._override.disable()


def test_cookie_of_another_secret_is_refused(make: Any, refuses: Any, configure: Configure) -> None:
    configure(KEYS=["fake secret 1"])
    value = make(a=SECRET)
    configure(KEYS=["fake secret 2"])
    refuses(value)


def test_cookie_flipped_at_any_bit_is_refused(
    make: Any, session_class: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    value = make(a=1)
    for position, bit in itertools.product(range(len(value)), range(6)):
        flipped = ALPHABET[ALPHABET.index(value[position]) ^ 1 << bit]
        caplog.clear()
        session = session_class(value[:position] + flipped + value[position + 1 :])
        assert session.load() == {}
        assert [record.name for record in caplog.records] == [SECURITY]


def test_cookie_truncated_anywhere_is_refused(make: Any, session_class: type[Any]) -> None:
    value = make(a=1)
    for length in range(len(value)):
        session = session_class(value[:length])
        assert session.load() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[:-1],
        lambda value: value + "A",
        lambda value: value + "AAAA",
        lambda value: value + "=",
        lambda value: value + "\n",
        lambda value: f'"{value}"',
        lambda value: value[:20] + " " + value[20:],
        lambda value: "ä" + value[1:],
        lambda value: "\u0661" * len(value),  # a digit, but not of ASCII
        lambda value: value.swapcase(),
        lambda value: value[::-1],
        lambda value: "A" * len(value),
        lambda value: "A" * 3000,
        lambda value: base64.urlsafe_b64encode(b"\x01" + bytes(2000)).decode().rstrip("="),
        lambda value: "eyJhIjoxfQ:1tabcd:forged_by_somebody_who_knows_django",
    ],
)
def test_cookie_that_is_none_of_ours_is_refused(make: Any, refuses: Any, change: Callable[[str], str]) -> None:
    refuses(change(make(a=SECRET)))


@pytest.mark.parametrize("value", ["", "short", None])
def test_cookie_that_is_too_short_is_none(read: Any, value: str | None) -> None:
    data, visit = read(value)
    assert (data, visit.key) == ({}, None)


@pytest.mark.parametrize("value", ["A" * (MAX_SIZE + 1), "A" * 1_000_000, "A" * 100 + "$"])
def test_cookie_is_checked_before_it_is_decoded(
    session_class: type[Any], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    def decode(*args: object) -> bytes:
        pytest.fail("It was decoded.")

    monkeypatch.setattr(base64, "urlsafe_b64decode", decode)
    session = session_class(value)
    assert session.load() == {}
    assert not session.is_empty()


def test_cookie_that_inflates_beyond_the_cap_is_refused(
    make: Any,
    refuses: Any,
    configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(COMPRESS=0)
    value = make(a=SECRET * 200)
    monkeypatch.setattr(cookie_codec, "COOKIE_INFLATES", 1)
    configure(COMPRESS=0)
    refuses(value)
    assert "inflates to more than 4096 bytes" in caplog.text
