"""Fixtures for the tests of the postgresql store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_multisession import runtime
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.testing.drive import Drive, driving
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from tests.databases import database
from tests.stores.postgresql.helpers import query, store_at


@pytest.fixture(autouse=True)
def _databases_allowed(django_db_blocker: Any) -> Iterator[None]:
    runtime.reset(runtime.Event.TEST)  # an alias is another server in each test
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """Run coroutines in either colour; the asynchronous ones in one loop."""
    with driving(request.param, lambda: None) as drive:
        yield drive


@pytest.fixture
def alias(postgresql_server: PostgreSQLServer) -> Iterator[str]:
    with database(postgresql_server.location) as alias:
        yield alias


@pytest.fixture
def store(alias: str) -> Iterator[PostgreSQLStore]:
    store = store_at(alias)
    query(alias, "DELETE FROM multisession_record RETURNING key")  # other modules' sessions are on this server too
    yield store
    store.close()


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    """A server of the test's own, to be hung and ended."""
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def own_alias(server: PostgreSQLServer) -> Iterator[str]:
    """An alias of a server where every connection is this test's, to be counted."""
    with database(server.location) as alias:
        yield alias
