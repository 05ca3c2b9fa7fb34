"""Fixtures for tests of the whole: every engine, each on a server that the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import on_servers
from tests.databases import sqlite
from tests.system.backends import ALIAS, PATIENCE, Backend

SERVERS = {"redis": "redis", "memcached": "memcached", "mongodb": "mongodb", "postgresql": "postgresql"}
NETWORKED = list(SERVERS)
LOCAL = ("memory", "db-sqlite")
SERVER_SIDE = ["memory", *NETWORKED, "db-sqlite", "db-postgresql", "db-mariadb"]
GROWN = [
    *("redis-valkey", "redis-older_valkey", "redis-redis_cluster", "redis-redis_sentinel"),
    *("memcached-memcached_ring", "postgresql-pgbouncer"),
]
"""Engines on other servers, or several, by the fixtures of these."""
# In Django's test environment the engine would share Django's connection, for the sake of TestCase.
OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"connection": "own"},
    "postgresql-pgbouncer": {"connection": "own", "pooler": "transaction"},
}


def backend_at(name: str, location: Any, port: int) -> Backend:
    """Return the backend of a name from SERVER_SIDE, at what a test server or proxy calls its location."""
    engine = name.partition("-")[0]
    if engine in ("db", "postgresql"):
        return Backend(name, engine, ALIAS, location, OPTIONS.get(name, {}), port)
    return Backend(name, engine, location, port=port)


@pytest.fixture(params=on_servers({name: name not in LOCAL for name in SERVER_SIDE}))
def backend(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Backend]:
    """Every server-side engine, not yet configured."""
    name: str = request.param
    if name == "memory":
        yield Backend(name, name)
        return
    with django_db_blocker.unblock():
        if name == "db-sqlite":
            yield backend_at(name, sqlite(tmp_path, timeout=PATIENCE), 0)
        else:
            server = request.getfixturevalue(f"{name.rpartition('-')[2]}_server")
            yield backend_at(name, server.location, getattr(server, "port", 0))
