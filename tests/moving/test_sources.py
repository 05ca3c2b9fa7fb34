"""Every source reads, writes and removes what the engine itself has written, in both colours."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_multisession.exceptions import InvalidRecord
from django_multisession.moving.source import Found, New, Removal, Source
from django_multisession.moving.sources import source_of
from django_multisession.runtime import reset
from django_multisession.testing.drive import Drive, driving
from tests.moving.places import PLACES, Place, configured

pytestmark = [
    pytest.mark.django_db(transaction=True, available_apps=["django.contrib.sessions", "django_multisession"]),
]
DATA = {"n": 1, "text": "ä", "list": [True, None, {"a": 1.5}], "_auth_user_id": None}
HOUR = 3600
Make = Callable[..., str]


def parameters(places: list[Place]) -> list[Any]:
    return [pytest.param(p, id=p.name, marks=[pytest.mark.server] if p.server else []) for p in places]


@pytest.fixture(params=parameters(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    found: Place = request.param
    location = request.getfixturevalue(found.server).location if found.server else None
    reset()
    with configured(found, location, tmp_path):
        yield found
    reset()


@pytest.fixture
def source(place: Place) -> Source:
    return source_of(place.fallback())


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, lambda: None) as drive:
        yield drive


@pytest.fixture
def make(place: Place) -> Make:
    """Return a function that saves a session by the engine itself, and returns its key."""

    def make(data: dict[str, Any] | None = None, expiry: Any = None) -> str:
        session = place.store()
        session.update(DATA if data is None else data)
        session.set_expiry(expiry)
        session.save()
        return str(session.session_key)

    return make


def own(data: dict[str, Any]) -> dict[str, Any]:
    """Return data without what django-qsessions adds to it."""
    return {key: value for key, value in data.items() if not key.startswith("_qsessions")}


def read(drive: Drive, source: Source, key: str) -> Found:
    found = drive(source.read(key))
    assert isinstance(found, Found)
    return found


# Reading.


def test_source_reads_what_the_engine_has_saved(source: Source, drive: Drive, make: Make) -> None:
    key = make()
    assert source.accepts(key)
    found = read(drive, source, key)
    assert (found.key, own(found.data)) == (key, DATA)
    assert drive(source.exists(key))
    # A second read is of a value of its own.
    found.data["list"].append(2)
    assert own(read(drive, source, key).data) == DATA


@pytest.mark.parametrize(
    ("expiry", "left"),
    [(None, 14 * 24 * HOUR), (HOUR, HOUR), (0, 14 * 24 * HOUR), (timedelta(hours=2), 2 * HOUR)],
    ids=["cookie_age", "number", "browser", "date"],
)
def test_source_tells_what_is_left_of_a_life(source: Source, drive: Drive, make: Make, expiry: Any, left: int) -> None:
    key = make(expiry=expiry)
    found = read(drive, source, key)
    assert left - 30 < found.age <= left
    assert ("_session_expiry" in found.data) is (expiry is not None)


def test_source_with_part_of_a_life_gone_tells_the_rest(
    source: Source, drive: Drive, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make(expiry=HOUR)
    found = read(drive, source, key)
    drive(source.shorten(found, 100))
    later = read(drive, source, key)
    if source.in_cookies:
        assert later.age > 100
    else:
        assert 60 < later.age <= 100
        drive(source.shorten(later, 200))
        assert 60 < read(drive, source, key).age <= 100
    assert own(later.data) == own(found.data)


def test_source_reads_nothing_under_an_unknown_key(source: Source, drive: Drive, place: Place) -> None:
    if source.in_cookies:
        pytest.skip("a cookie that nobody has signed is unreadable")
    key = secrets.token_hex(16)
    assert source.accepts(key)
    assert drive(source.read(key)) is None
    assert not drive(source.exists(key))
    assert drive(source.remove(key)) is Removal.GONE


@pytest.mark.parametrize("key", ["", "short", "../../../etc/passwd", "a" * 41, "A" * 32, "a" * 31 + "\n", "ä" * 32])
def test_source_accepts_no_key_that_django_does_not_make(source: Source, key: str) -> None:
    assert not source.accepts(key)


def test_source_reads_nothing_that_has_expired(source: Source, drive: Drive, make: Make, place: Place) -> None:
    key = make(expiry=1)
    time.sleep(2.1)
    assert drive(source.read(key)) is None
    assert not drive(source.exists(key))


def test_source_says_unreadable_of_what_another_secret_has_signed(
    source: Source, drive: Drive, make: Make, place: Place
) -> None:
    if place.pickles:
        pytest.skip("nothing is signed in a cache")
    key = make()
    with override_settings(SECRET_KEY="another"):
        with pytest.raises(InvalidRecord):
            drive(source.read(key))
        with override_settings(SECRET_KEY_FALLBACKS=["not-a-secret-only-for-the-tests"]):
            assert own(read(drive, source, key).data) == DATA


def test_source_reads_an_empty_session(source: Source, drive: Drive, make: Make) -> None:
    assert own(read(drive, source, make({})).data) == {}


# Writing.


def test_source_removes_a_session_everywhere(source: Source, drive: Drive, make: Make, place: Place) -> None:
    key = make()
    place.store(key).get("n")  # fills a cache
    found = read(drive, source, key)
    assert drive(source.remove(key, found)) is Removal.REMOVED
    if not source.in_cookies:
        assert drive(source.remove(key, found)) is Removal.GONE
        if place.app != "user_sessions":  # which makes a session to load one
            assert dict(place.store(key).items()) == {}


def test_source_leaves_a_session_that_has_changed(source: Source, drive: Drive, make: Make, place: Place) -> None:
    if source.in_cookies:
        pytest.skip("each change is another cookie")
    key = make()
    found = read(drive, source, key)
    session = place.store(key)
    session["n"] = 2
    session.save()
    assert drive(source.remove(key, found)) is Removal.CHANGED
    assert drive(source.write(found, New({"n": 3}, HOUR))) is None
    assert own(read(drive, source, key).data) == {**DATA, "n": 2}
    assert drive(source.remove(key)) is Removal.REMOVED


def test_engine_reads_what_the_source_has_written(source: Source, drive: Drive, make: Make, place: Place) -> None:
    key = make()
    place.store(key).get("n")  # fills a cache
    found = read(drive, source, key)
    written = drive(source.write(found, New({**found.data, "n": 2}, HOUR)))
    assert written is not None
    assert place.store(written.key)["n"] == 2
    again = read(drive, source, written.key)
    assert own(again.data) == {**DATA, "n": 2}
    third = drive(source.write(written, New({"n": 3}, HOUR)))
    assert third is not None
    assert place.store(third.key)["n"] == 3


def test_source_writes_nothing_where_a_session_was_ended(
    source: Source, drive: Drive, make: Make, place: Place
) -> None:
    if source.in_cookies:
        pytest.skip("nobody can end a cookie")
    key = make()
    found = read(drive, source, key)
    place.store(key).flush()
    assert drive(source.write(found, New({"n": 2}, HOUR))) is None
    assert drive(source.read(key)) is None


def test_engine_reads_what_the_source_has_created(source: Source, drive: Drive, place: Place) -> None:
    key = secrets.token_hex(16)
    created = drive(source.create(key, New(DATA, HOUR)))
    assert created is not None
    session = place.store(created.key)
    assert own(dict(session.items())) == DATA
    if source.in_cookies:
        return
    assert created.key == key
    assert drive(source.create(key, New({"n": 2}, HOUR))) is None
    assert drive(source.remove(key, read(drive, source, key))) is Removal.REMOVED


# The walk.


def test_source_lists_live_sessions(source: Source, drive: Drive, make: Make) -> None:
    if source.why_not_scannable:
        assert "UNTIL" in source.why_not_scannable
        return
    keys = {make() for _ in range(3)}
    assert set(drive.all(source.scan(2))) == keys
    assert drive(source.count()) == 3


# Settings.


def test_source_that_pickles_needs_to_be_told_so(place: Place) -> None:
    if not place.pickles:
        assert not source_of(place.fallback()).pickles
        return
    with pytest.raises(ImproperlyConfigured, match="ALLOW_PICKLE"):
        source_of(place.fallback(allow_pickle=False))


def test_source_refuses_the_keys_of_our_engines(place: Place) -> None:
    with pytest.raises(ImproperlyConfigured, match="KEY_PREFIX"):
        source_of(place.fallback(entry={"key_prefix": "elsewhere"}))


def test_source_reads_where_its_location_says(place: Place, drive: Drive, make: Make, tmp_path: Path) -> None:
    if place.name == "signed_cookies":
        with pytest.raises(ImproperlyConfigured, match="LOCATION"):
            source_of(place.fallback(entry={"location": "elsewhere"}))
        return
    key = make()
    location = str(tmp_path) if place.name == "file" else "sessions" if place.cache else "default"
    with override_settings(SESSION_CACHE_ALIAS="default", SESSION_FILE_PATH=None, SESSION_COOKIE_NAME="other"):
        source = source_of(place.fallback(entry={"location": location, "cookie": {"NAME": "sessionid"}}))
        found = read(drive, source, key)
        assert drive(source.write(found, New({"n": 2}, HOUR))) is not None
    assert place.store(key)["n"] == 2
    with pytest.raises(ImproperlyConfigured):
        drive(source_of(place.fallback(entry={"location": "/elsewhere"})).read(key))


class SessionStore(SessionBase):
    """An engine that nobody knows."""


def test_source_of_an_unknown_engine_is_refused() -> None:
    place = Place("unknown", "tests.moving.test_sources")
    with pytest.raises(ImproperlyConfigured, match="whose format is not known"):
        source_of(place.fallback())
