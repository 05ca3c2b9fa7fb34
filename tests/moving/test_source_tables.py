"""Django's table on the databases that sites have it on: what is compared there, and who is told of a removal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db.models.signals import post_delete
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.bridge import run_sync
from django_multisession.exceptions import InvalidRecord
from django_multisession.moving.source import Found, New, Removal, Source
from django_multisession.moving.sources import source_of
from django_multisession.testing.drive import Drive, driving
from tests.databases import database
from tests.moving.places import PLACES

HOUR = 3600
ALIAS = "sessions_there"
DB = PLACES[0]


@pytest.fixture(params=["postgresql_server", "mariadb_server"])
def source(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Source]:
    server = request.getfixturevalue(request.param)
    with django_db_blocker.unblock(), database(server.location, ALIAS, migrate=False):
        call_command("migrate", "sessions", database=ALIAS, verbosity=0)
        yield source_of(DB.fallback(entry={"location": ALIAS}))
        Session.objects.using(ALIAS).all().delete()


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, lambda: None) as drive:
        yield drive


@pytest.mark.server
def test_table_elsewhere_is_read_and_written_and_compared(source: Source, drive: Drive) -> None:
    key = secrets.token_hex(16)
    created = drive(source.create(key, New({"text": "ä"}, HOUR)))
    assert created is not None
    assert drive(source.create(key, New({}, HOUR))) is None
    found = drive(source.read(key))
    assert isinstance(found, Found)
    assert found.data == {"text": "ä"}
    assert HOUR - 30 < found.age <= HOUR
    written = drive(source.write(found, New({"n": 1}, 2 * HOUR)))
    assert written is not None
    assert drive(source.write(found, New({"n": 2}, HOUR))) is None
    assert drive(source.remove(key, found)) is Removal.CHANGED
    assert drive(source.shorten(written, 100))
    found = drive(source.read(key))
    assert isinstance(found, Found)
    assert found.age <= 100
    assert drive.all(source.scan(1)) == [key]
    assert drive(source.remove(key, written)) is Removal.REMOVED
    assert drive(source.remove(key, written)) is Removal.GONE


@pytest.mark.server
def test_table_elsewhere_reads_and_removes_many_as_they_are(source: Source, drive: Drive) -> None:
    keys = sorted(secrets.token_hex(16) for _ in range(4))
    for n, key in enumerate(keys):
        assert drive(source.create(key, New({"n": n}, HOUR))) is not None
    Session.objects.using(ALIAS).filter(session_key=keys[3]).update(session_data="damaged")
    many = drive(source.read_many([*keys, "0" * 32]))
    assert isinstance(many.pop(keys[3]), InvalidRecord)
    found = [one for one in many.values() if isinstance(one, Found)]
    assert sorted((one.key, one.data["n"]) for one in found) == [(key, n) for n, key in enumerate(keys[:3])]
    drive(source.write(next(one for one in found if one.key == keys[1]), New({"n": 10}, HOUR)))
    drive(source.remove(keys[2]))
    removals = drive(source.remove_many(found))
    assert {one.key: removal for one, removal in zip(found, removals, strict=True)} == {
        keys[0]: Removal.REMOVED,
        keys[1]: Removal.CHANGED,
        keys[2]: Removal.GONE,
    }
    assert drive.all(source.scan()) == [keys[1], keys[3]]
    assert drive(source.remove_many([])) == []


@pytest.mark.django_db
def test_removal_tells_those_who_listen_for_it() -> None:
    source, told = source_of(DB.fallback()), []

    def listen(instance: Any, **kwargs: Any) -> None:
        told.append(instance.pk)

    key = secrets.token_hex(16)
    post_delete.connect(listen, sender=Session)
    try:
        assert run_sync(source.create(key, New({}, HOUR))) is not None
        assert run_sync(source.remove(key)) is Removal.REMOVED
    finally:
        post_delete.disconnect(listen, sender=Session)
    assert told == [key]
