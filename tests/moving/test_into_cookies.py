"""A session that was on a server comes into a cookie, and one that was in a cookie comes to a server."""

from __future__ import annotations

import copy
import pickle
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_multisession.exceptions import StoreUnavailable
from django_multisession.sessions.cookie import CookieSession
from django_multisession.sessions.exceptions import SessionEnded
from django_multisession.sessions.key_change import abandon, commit
from django_multisession.sessions.server import ServerSession
from django_multisession.testing import Drive
from django_multisession.testing.drive import driving, either
from django_multisession.testing.visits import HOUR

MEMORY = "django_multisession.engines.memory"
COOKIES = ["signed_cookies", "encrypted_cookies"]


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, lambda: None) as drive:
        yield drive


@contextmanager
def engine(path: str, fallback: str | None = None, **keys: Any) -> Iterator[Any]:
    """Configure an engine, with another one as its FALLBACK; yield its SessionStore."""
    entry: dict[str, Any] = {}
    if fallback is not None:
        entry["FALLBACK"] = {"ENGINE": fallback, "UNTIL": "2100-01-01", **keys}
    with override_settings(SESSION_ENGINE=path, MULTISESSION={"default": entry}):
        yield import_module(path).SessionStore


def path_of(name: str) -> str:
    return f"django_multisession.engines.{name}"


def cookie_of(drive: Drive, engine_path: str) -> str:
    """Return a cookie that no other test has."""
    with engine(engine_path) as session:
        return drive(stored(session(), count=1, nonce=secrets.token_hex()))


async def stored(session: Any, **data: Any) -> str:
    """Save data in a session; return its key."""
    await either(session.update, session.aupdate, data)
    await either(session.save, session.asave)
    return str(session.session_key)


async def data_of(session: Any) -> dict[str, Any]:
    """Return what is in a session, but for what makes its cookie unique."""
    return {key: value for key, value in await either(session.items, session.aitems) if key != "nonce"}


def old(drive: Drive, **data: Any) -> str:
    with engine(MEMORY) as session:
        return drive(stored(session(), **data))


def there(drive: Drive, key: str) -> dict[str, Any]:
    with engine(MEMORY) as session:
        return drive(data_of(session(key)))


@pytest.mark.parametrize("name", COOKIES)
def test_session_comes_into_a_cookie_and_ends_there_soon(drive: Drive, name: str) -> None:
    with engine(MEMORY) as before:
        visit = before()
        drive(either(visit.set_expiry, visit.aset_expiry, 3 * HOUR))
        key = drive(stored(visit, count=1))
    with engine(path_of(name), MEMORY) as session:
        carried = session(key)
        assert drive(data_of(carried)) == {"count": 1, "_session_expiry": 3 * HOUR}
        assert carried.modified
        drive(either(carried.save, carried.asave))
        assert carried.session_key != key
        assert drive(data_of(session(carried.session_key)))["count"] == 1
        assert drive(data_of(session(key)))["count"] == 1  # a request under way, or the next one if no answer came
    assert there(drive, key)
    with mock.patch("django_multisession.stores.memory.time.time", return_value=time.time() + 62):
        assert there(drive, key) == {}


@pytest.mark.parametrize("name", COOKIES)
def test_session_in_a_cookie_that_nobody_has_changed_keeps_its_remaining_life(drive: Drive, name: str) -> None:
    with engine(MEMORY) as before:
        key = drive(stored(before(), count=1))
    with (
        engine(path_of(name), MEMORY) as session,
        mock.patch("django_multisession.moving.sources.own.time.time", return_value=time.time() + 10 * 24 * HOUR),
    ):
        carried = session(key)
        drive(data_of(carried))
        drive(either(carried.save, carried.asave))
        left = carried.codec().decode(carried.session_key).header.expires_at - time.time()
        assert abs(left - 4 * 24 * HOUR) < 5
        drive(stored(carried, count=2))
        left = carried.codec().decode(carried.session_key).header.expires_at - time.time()
        assert abs(left - 14 * 24 * HOUR) < 5


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.parametrize("is_saved", [True, False])
def test_logout_of_a_session_in_a_cookie_ends_it_there(drive: Drive, name: str, is_saved: bool) -> None:
    key = old(drive, count=1)
    with engine(path_of(name), MEMORY) as session:
        carried = session(key)
        if is_saved:
            drive(data_of(carried))
            drive(either(carried.save, carried.asave))
            carried = session(carried.session_key)
        drive(either(carried.flush, carried.aflush))
        assert drive(data_of(session(key))) == {}
    assert there(drive, key) == {}


@pytest.mark.parametrize("name", COOKIES)
def test_response_that_is_late_for_a_logout_sends_no_cookie(drive: Drive, name: str) -> None:
    key = old(drive, count=1)
    with engine(path_of(name), MEMORY) as session:
        late = session(key)
        drive(data_of(late))
        drive(either((opened := session(key)).flush, opened.aflush))
        with pytest.raises(SessionEnded):
            drive(either(late.save, late.asave))


@pytest.mark.parametrize("name", COOKIES)
def test_unknown_key_is_an_empty_session_whose_cookie_stays(drive: Drive, name: str) -> None:
    with engine(path_of(name), MEMORY) as session:
        visit = session("a" * 32)
        assert drive(data_of(visit)) == {}
        assert not visit.is_empty()
        drive(stored(visit, count=1))
        assert drive(data_of(session(visit.session_key))) == {"count": 1}


@pytest.mark.parametrize("name", COOKIES)
def test_sessions_stay_on_the_server_while_it_does_not_carry(drive: Drive, name: str) -> None:
    key = old(drive, count=1)
    with engine(path_of(name), MEMORY, CARRY=False) as session:
        visit = session(key)
        assert isinstance(visit, ServerSession)
        drive(stored(visit, count=2))
        new = drive(stored(session(), count=1))
        left = session(key)
        drive(data_of(left))
        drive(either(left.cycle_key, left.acycle_key))
    assert there(drive, key) == {}
    assert there(drive, left.session_key) == {"count": 2}
    assert there(drive, new) == {"count": 1}
    with engine(path_of(name), MEMORY, CARRY=False) as session:
        drive(either((opened := session(new)).flush, opened.aflush))
    assert there(drive, new) == {}


@pytest.mark.parametrize("name", COOKIES)
def test_cookie_of_a_process_that_carries_already_is_honoured(drive: Drive, name: str) -> None:
    with engine(path_of(name)) as session:
        value = drive(stored(session(), count=1))
    with engine(path_of(name), MEMORY, CARRY=False) as session:
        visit = session(value)
        assert isinstance(visit, CookieSession)
        assert drive(data_of(visit)) == {"count": 1}


def pickled(session: Any) -> Any:
    return pickle.loads(pickle.dumps(session))  # noqa: S301 - a test's own


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("name", COOKIES)
def test_copy_of_a_session_is_of_its_kind_while_it_does_not_carry(drive: Drive, name: str, copied: Any) -> None:
    with engine(path_of(name)) as session:
        value = drive(stored(session(), count=1))
    with engine(path_of(name), MEMORY, CARRY=False) as session:
        visit = session(value)
        for is_loaded in (False, True):
            if is_loaded:
                drive(data_of(visit))
            other = copied(visit)
            assert isinstance(other, CookieSession)
            drive(stored(other, more=2))
            assert drive(data_of(session(other.session_key))) == {"count": 1, "more": 2}
        assert isinstance(copied(session("a" * 32)), ServerSession)


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("name", COOKIES)
def test_outage_there_is_one_of_the_session(drive: Drive, name: str, carry: bool) -> None:
    key = old(drive, count=1)
    for required in (True, False):
        with (
            engine(path_of(name), MEMORY, CARRY=carry, REQUIRED=required) as session,
            mock.patch(
                "django_multisession.stores.memory.MemoryStore.read", side_effect=StoreUnavailable("memory", "a test")
            ),
        ):
            visit = session(key)
            if required:
                with pytest.raises(StoreUnavailable):
                    drive(data_of(visit))
            else:
                assert drive(data_of(visit)) == {}
                assert not visit.is_empty()


# The other way.


@pytest.fixture(params=[*COOKIES, "django"])
def in_cookies(request: pytest.FixtureRequest) -> str:
    """An engine that keeps sessions in cookies."""
    return "django.contrib.sessions.backends.signed_cookies" if request.param == "django" else path_of(request.param)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine that keeps tombstones; for this test, in memory."""
    monkeypatch.setattr("django_multisession.stores.memory.MemoryStore.keeps_tombstones", True)
    return MEMORY


def test_cookie_comes_to_a_server_under_a_key_of_its_own(drive: Drive, in_cookies: str, server: str) -> None:
    cookie = cookie_of(drive, in_cookies)
    with engine(server, in_cookies) as session:
        visit = session(cookie)
        assert drive(data_of(visit)) == {"count": 1}
        assert len(visit.session_key) == 64
        assert visit.modified  # so that the browser gets the key
        drive(stored(visit, count=2))
        assert drive(data_of(session(cookie))) == drive(data_of(session(visit.session_key))) == {"count": 2}


@pytest.mark.parametrize("with_cookie", [True, False])
def test_replay_of_a_cookie_after_the_logout_stays_out(
    drive: Drive, in_cookies: str, server: str, with_cookie: bool
) -> None:
    cookie = cookie_of(drive, in_cookies)
    with engine(server, in_cookies) as session:
        visit = session(cookie)
        drive(data_of(visit))
        drive(either((opened := session(cookie if with_cookie else visit.session_key)).flush, opened.aflush))
        assert drive(data_of(session(cookie))) == {}
    with engine(server, in_cookies, CARRY=False) as session:
        assert drive(data_of(session(cookie))) == {}


def test_replay_of_a_cookie_stays_out_when_secret_key_has_changed(drive: Drive, in_cookies: str, server: str) -> None:
    cookie = cookie_of(drive, in_cookies)
    with engine(server, in_cookies) as session:
        drive(either((opened := session(cookie)).flush, opened.aflush))
    from django.conf import settings

    with (
        override_settings(SECRET_KEY="fake new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]),
        engine(server, in_cookies) as session,
    ):
        assert drive(data_of(session(cookie))) == {}


def test_cookie_stays_a_cookie_while_it_does_not_carry(drive: Drive, in_cookies: str, server: str) -> None:
    cookie = cookie_of(drive, in_cookies)
    with engine(server, in_cookies, CARRY=False) as session:
        visit = session(cookie)
        drive(stored(visit, count=2))
        changed, made = visit.session_key, drive(stored(session(), count=1))
        left = session(changed)
        drive(data_of(left))
        with mock.patch("time.time", return_value=time.time() + 1):  # Django signs by the second
            drive(either(left.cycle_key, left.acycle_key))
        assert drive(data_of(session(changed))) == {}  # where Django's own would still accept it
    with engine(in_cookies) as session:
        assert drive(data_of(session(left.session_key))) == {"count": 2}
        assert drive(data_of(session(made))) == {"count": 1}


@pytest.mark.parametrize("then", ["at once", "commit", "abandon"])
@pytest.mark.parametrize("times", [1, 2])
def test_change_of_key_that_makes_the_same_cookie_leaves_it_alive(
    drive: Drive, in_cookies: str, server: str, times: int, then: str
) -> None:
    """Django's new cookie of unchanged data is the old one, within a second."""
    second = mock.patch("time.time", return_value=float(int(time.time())))
    with second, engine(server, in_cookies, CARRY=False) as session:
        cookie = drive(stored(session(), count=1))
        visit = session(cookie)
        visit.commits_with_response = then != "at once"
        drive(data_of(visit))
        for _ in range(times):
            drive(either(visit.cycle_key, visit.acycle_key))
        if then == "commit":
            drive(commit(visit))
        elif then == "abandon":
            drive(abandon(visit))
        assert drive(data_of(session(visit.session_key))) == {"count": 1}


def test_logout_of_a_cookie_is_final_while_it_does_not_carry(drive: Drive, in_cookies: str, server: str) -> None:
    cookie = cookie_of(drive, in_cookies)
    for carry in (False, True):
        with engine(server, in_cookies, CARRY=carry) as session:
            if not carry:
                drive(either((opened := session(cookie)).flush, opened.aflush))
            assert drive(data_of(session(cookie))) == {}


@pytest.mark.parametrize("name", COOKIES)
def test_cookie_comes_into_a_cookie(drive: Drive, in_cookies: str, name: str) -> None:
    if in_cookies == path_of(name):
        pytest.skip("It is the same engine.")
    cookie = cookie_of(drive, in_cookies)
    with engine(path_of(name), in_cookies, CARRY=False) as session:
        visit = session(cookie)
        drive(stored(visit, count=2))
    with engine(in_cookies) as session:
        assert drive(data_of(session(visit.session_key))) == {"count": 2}
    with engine(path_of(name), in_cookies) as session:
        carried = session(visit.session_key)
        assert drive(stored(carried, more=1)) != visit.session_key
        assert drive(data_of(session(carried.session_key))) == {"count": 2, "more": 1}


@pytest.mark.parametrize("target", [MEMORY, path_of("memcached")])
def test_target_that_keeps_no_tombstones_takes_nothing_from_cookies(in_cookies: str, target: str) -> None:
    with engine(target, in_cookies) as session, pytest.raises(ImproperlyConfigured, match="may forget"):
        session.repository()


def test_fallback_that_is_the_place_itself_is_refused() -> None:
    with engine(MEMORY, MEMORY) as session, pytest.raises(ImproperlyConfigured, match="where the sessions are"):
        session.repository()
