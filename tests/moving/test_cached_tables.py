"""The copies in a cache that the engines of Django's kind read first: none outlives its row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches

from django_multisession.bridge import run_sync
from django_multisession.moving.source import Found, New, Removal, Source
from django_multisession.moving.sources import source_of
from django_multisession.runtime import reset
from django_multisession.testing.drive import Drive, driving
from tests.moving.places import PLACES, Place, configured

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.server]
HOUR = 3600
KEY = "a" * 32


@pytest.fixture(params=[pytest.param(place, id=place.name) for place in PLACES if "cached_db" in place.name])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    found: Place = request.param
    reset()
    with configured(found, request.getfixturevalue(str(found.server)).location, tmp_path):
        yield found
    reset()


@pytest.fixture
def source(place: Place) -> Source:
    return source_of(place.fallback())


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, lambda: None) as drive:
        yield drive


def copy_of(place: Place, key: str) -> Any:
    """Return what the engine's cache has."""
    store: Any = place.store(key)
    return caches["sessions"].get(store.cache_key_prefix + key)


def before_the_copy(monkeypatch: pytest.MonkeyPatch, happens: Any) -> None:
    """Let something happen after a row was written, and before its copy is."""
    cache = type(caches["sessions"])
    put = cache.set

    def late(self: Any, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(cache, "set", put)
        happens()
        return put(self, *args, **kwargs)

    monkeypatch.setattr(cache, "set", late)


def test_written_session_has_a_copy(place: Place, source: Source, drive: Drive) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    assert copy_of(place, KEY) == {"n": 1}
    assert drive(source.write(created, New({"n": 2}, HOUR))) is not None
    assert copy_of(place, KEY) == {"n": 2}
    assert drive(source.remove(KEY)) is Removal.REMOVED
    assert copy_of(place, KEY) is None


def test_late_copy_of_a_session_that_was_carried_does_not_stay(
    place: Place, source: Source, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    carrier = source_of(place.fallback())
    before_the_copy(monkeypatch, lambda: run_sync(carrier.remove(KEY)))
    drive(source.write(created, New({"n": 2}, HOUR)))
    assert copy_of(place, KEY) is None


def test_late_copy_of_a_session_that_was_shortened_does_not_outlive_it(
    place: Place, source: Source, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    carrier = source_of(place.fallback())

    def shortens() -> None:
        found: Any = run_sync(carrier.read(KEY))
        assert run_sync(carrier.shorten(found, 60))

    before_the_copy(monkeypatch, shortens)
    drive(source.write(created, New({"n": 2}, HOUR)))
    assert copy_of(place, KEY) is None


def test_late_copy_of_a_session_that_was_changed_does_not_hide_the_change(
    place: Place, source: Source, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    other = source_of(place.fallback())

    def changes() -> None:
        found: Any = run_sync(other.read(KEY))
        assert run_sync(other.write(found, New({"n": 3}, HOUR))) is not None

    before_the_copy(monkeypatch, changes)
    drive(source.write(created, New({"n": 2}, HOUR)))
    assert copy_of(place, KEY) in (None, {"n": 3})
