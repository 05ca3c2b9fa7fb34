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
