"""Three processes of one site: one that knows of no FALLBACK, one that is beside it, and one that carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.conf import Entry, entry
from django_multisession.moving.composition import places_of
from django_multisession.sessions.config import SessionConfig
from django_multisession.sessions.records import Records
from django_multisession.sessions.repository import Repository
from django_multisession.stores.base import Store, StoreOptions
from django_multisession.testing import Drive, Interleaved, Plan, Visits
from django_multisession.testing.drive import driving
from django_multisession.testing.visits import Observed
from tests.contract.conftest import (  # noqa: F401 - fixtures
    Backend,
    backend,
    mariadb_alias,
    pgbouncer_alias,
    postgresql_alias,
    sqlite_alias,
)

UNTIL = "2100-01-01"


@dataclass
class Site:
    """What makes requests to each process, and what happens around the two places.

    ``here`` and ``there`` are followed by what the processes ``beside`` and ``carrying`` ask; ``old`` follows none.
    """

    old: Visits
    beside: Visits
    carrying: Visits
    here: Plan
    there: Plan

    def forget(self) -> None:
        """Count from here."""
        self.here.calls.clear()
        self.there.calls.clear()


def described(**default: Any) -> Entry:
    """Return an entry of MULTISESSION as conf makes it."""
    with override_settings(MULTISESSION={"default": {"TIMEOUT": 20.0, **default}}):
        return entry("default")


def store_of(backend: Backend, described: Entry) -> Store:  # noqa: F811 - the parameter of a helper
    options = StoreOptions(described.location, described.key_prefix, described.timeout, described.options)
    return backend.engine.store_class(options)


class Process(Observed):
    """A session of a process with a repository of its own."""

    made: Repository

    @classmethod
    def repository(cls) -> Repository:
        return cls.made


def process(backend: Backend, made: Repository, plan: Plan, drive: Drive) -> Visits:  # noqa: F811 - a fixture by this name
    attributes = {"plan": plan, "made": made, "__module__": backend.engine.__module__}
    return Visits(type("SessionStore", (Process, backend.engine), attributes), drive)


def two_places(backend: Backend, here: Plan, there: Plan, **fallback: Any) -> Repository:  # noqa: F811 - a fixture by this name
    """Return the repository of an entry on a backend whose FALLBACK is the same one with another KEY_PREFIX."""
    source = {"ENGINE": backend.engine.__module__, "KEY_PREFIX": "old:", "UNTIL": UNTIL, "TIMEOUT": 20.0}
    config = SessionConfig(described(**backend.entry, FALLBACK={**backend.entry, **source, **fallback}))
    store = store_of(backend, config.entry)
    places: Any = places_of(Interleaved.around(store, here), config)
    places.source.records.store = Interleaved.around(places.source.records.store, there)
    return Repository(places, config)


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest, backend: Backend) -> Iterator[Drive]:  # noqa: F811 - a fixture by this name
    with driving(request.param, connections.close_all) as drive:
        yield drive


@pytest.fixture
def configure(backend: Backend) -> Iterator[Any]:  # noqa: F811 - a fixture by this name
    """Configure "default" as the process that is asked has it; the keys that all share."""
    with ExitStack() as stack:

        def configure(**changes: Any) -> None:
            stack.enter_context(backend.configured(**changes))

        configure()
        yield configure


@pytest.fixture
def site(backend: Backend, drive: Drive, configure: Any, django_db_blocker: DjangoDbBlocker) -> Site:  # noqa: F811 - a fixture by this name
    return made_site(backend, drive)


def made_site(backend: Backend, drive: Drive, **fallback: Any) -> Site:  # noqa: F811 - a fixture by this name
    here, there = Plan(), Plan()
    before = SessionConfig(described(**backend.entry, KEY_PREFIX="old:"))
    records = Records(store_of(backend, before.entry), before.record_codec, before.storage_keys, before.entry.max_size)
    return Site(
        process(backend, Repository(records, before), Plan(), drive),
        process(backend, two_places(backend, here, there, **fallback, CARRY=False), here, drive),
        process(backend, two_places(backend, here, there, **fallback), here, drive),
        here,
        there,
    )
