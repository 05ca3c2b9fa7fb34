"""Django's logins on every engine that keeps sessions on a server, in both colours, with rows in a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.registry import database
from django_multisession.registry.following import Following
from django_multisession.sessions.loading import session_class
from django_multisession.sessions.registration import registrations
from django_multisession.stores import aliases
from django_multisession.testing.drive import Drive, driving
from tests.contract.conftest import Backend, backend, postgresql_alias, sqlite_alias  # noqa: F401 - fixtures
from tests.databases import sqlite
from tests.logins.conftest import Site
from tests.logins.site import Browser, Users
from tests.registry.sites import ROUTER, registry_database
from tests.registry.steps import SteppedStore, Steps
from tests.registry.told import SIGNALS, Told
from tests.system.backends import leave_thread


@pytest.fixture(autouse=True)
def _followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the registry follow logins; see tests/conftest.py."""
    monkeypatch.setattr(registrations, "make", Following)


@pytest.fixture
def registry_settings(tmp_path: Path) -> Any:
    """Return the settings of the database that holds users and the registry."""
    (tmp_path / "registry").mkdir()
    return sqlite(tmp_path / "registry", transaction_mode="IMMEDIATE", timeout=30)


@pytest.fixture
def registry(registry_settings: Any, settings: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Put the registry and its users into a database of their own."""
    with django_db_blocker.unblock(), registry_database(registry_settings):
        settings.DATABASE_ROUTERS = [ROUTER]
        yield


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, leave_thread) as drive:
        yield drive


@pytest.fixture
def site(backend: Backend, registry: None, drive: Drive, settings: Any) -> Site:  # noqa: F811 - the fixture
    settings.SESSION_ENGINE = backend.engine.__module__
    settings.MULTISESSION = {"default": {"TIMEOUT": 20.0, **backend.entry}}
    settings.AUTHENTICATION_BACKENDS = [f"{Users.__module__}.{Users.__qualname__}"]
    return Site(backend.name, drive, 200 if backend.name == "memory" else 12)


@pytest.fixture
def steps(site: Any, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Return what watches the site's store and the registry's database."""
    found = Steps()
    records = session_class("default").records()
    monkeypatch.setattr(records, "store", SteppedStore(records.store, found))
    on_connection = aliases.on_connection

    async def asked(query: Any) -> Any:
        return await found.take(lambda: on_connection(query))

    monkeypatch.setattr(database, "on_connection", asked)
    return found


@pytest.fixture
def told() -> Iterator[Told]:
    """Listen to the signals of the registry."""
    found = Told()
    receivers = {name: found.receiver(name) for name in SIGNALS}
    for name, signal in SIGNALS.items():
        signal.connect(receivers[name])
    yield found
    for name, signal in SIGNALS.items():
        signal.disconnect(receivers[name])


@pytest.fixture
def older(site: Site, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Return a browser that has logged in before the registry was installed."""
    with monkeypatch.context() as patch:
        patch.setattr(registrations, "make", None)
        return site.drive(site.user(cart=["book"]))
