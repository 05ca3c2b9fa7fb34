"""The copies in a cache that the engines of Django's kind read first: none outlives its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.core.cache import caches

from django_multisession.bridge import run_sync
from django_multisession.moving.source import Found, New, Removal, Source
from django_multisession.moving.sources import source_of
from django_multisession.moving.sources.tables import TableSource
from django_multisession.testing.drive import Drive
from tests.moving.places import PLACES, Place
from tests.moving.test_sources import drive, place, source

__all__ = ["drive", "place", "source"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.server,
    pytest.mark.parametrize("place", [p for p in PLACES if "cached_db" in p.name], ids=lambda p: p.name, indirect=True),
]
HOUR = 3600
KEY = "a" * 32


def copy_of(place: Place, key: str) -> Any:
    """Return what the engine's cache has."""
    store: Any = place.store(key)
    return caches["sessions"].get(store.cache_key_prefix + key)


def test_written_session_has_a_copy(place: Place, source: Source, drive: Drive) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    assert copy_of(place, KEY) == {"n": 1}
    assert drive(source.write(created, New({"n": 2}, HOUR))) is not None
    assert copy_of(place, KEY) == {"n": 2}
    assert drive(source.remove(KEY)) is Removal.REMOVED
    assert copy_of(place, KEY) is None


def removed(source: Source) -> None:
    assert run_sync(source.remove(KEY)) is Removal.REMOVED


def shortened(source: Source) -> None:
    found: Any = run_sync(source.read(KEY))
    assert run_sync(source.shorten(found, 60))


def changed(source: Source) -> None:
    found: Any = run_sync(source.read(KEY))
    assert run_sync(source.write(found, New({"n": 3}, HOUR))) is not None


@pytest.mark.parametrize("happens", [removed, shortened, changed])
def test_late_copy_of_a_session_does_not_stay(
    place: Place, source: Source, drive: Drive, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Source], None]
) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    other = source_of(place.fallback())
    cache: Any = type(caches["sessions"])
    put = cache.set

    def late(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Put the copy of what was written once something has happened to that."""
        monkeypatch.setattr(cache, "set", put)
        happens(other)
        return put(self, *args, **kwargs)

    monkeypatch.setattr(cache, "set", late)
    drive(source.write(created, New({"n": 2}, HOUR)))
    assert copy_of(place, KEY) is None


@pytest.mark.parametrize("together", [False, True])
def test_copy_that_is_made_while_its_session_is_removed_does_not_stay(
    place: Place, source: Source, drive: Drive, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    created = drive(source.create(KEY, New({"n": 1}, HOUR)))
    assert isinstance(created, Found)
    cache: Any = type(caches["sessions"])
    forget = cache.delete_many

    def forget_too_early(self: Any, addresses: list[str], **kwargs: Any) -> None:
        """Have somebody who has read the row before put a copy of it into the cache, as soon as there is none."""
        monkeypatch.setattr(cache, "delete_many", forget)
        forget(self, addresses, **kwargs)
        for address in addresses:
            self.set(address, {"n": 1}, HOUR)

    async def at_once(self: TableSource, found: Sequence[Found]) -> list[Removal]:
        """Remove rows as where they can be locked, which SQLite cannot: without a look at each one's copy."""
        return [await TableSource.remove(self, each.key, each) for each in found]

    monkeypatch.setattr(TableSource, "remove_many", at_once)
    monkeypatch.setattr(cache, "delete_many", forget_too_early)
    if together:
        assert drive(source.remove_many([created])) == [Removal.REMOVED]
    else:
        assert drive(source.remove(KEY)) is Removal.REMOVED
    assert copy_of(place, KEY) is None
