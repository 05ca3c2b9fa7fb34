"""Every server-side engine of ours on a server of the tests', and a look at all that the server holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import bson
import psycopg
import pymongo
import pytest
import redis
from django.db import connections
from django.test import override_settings
from pymemcache.client.base import Client  # type: ignore[import-untyped]  # it ships no types
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.sessions.server import ServerSession
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.proxy import Proxy
from tests.conftest import on_servers
from tests.databases import database, sqlite

SERVERS = {
    "memory": None,
    "redis": "redis_server",
    "memcached": "memcached_server",
    "mongodb": "mongodb_server",
    "postgresql": "postgresql_server",
    "db": None,
    "db-postgresql": "postgresql_server",
}
"""Each engine that keeps sessions on a server, and the fixture of the server."""
NETWORKED = {name: server for name, server in SERVERS.items() if server}
ALIASES = {"postgresql": "postgresql_alias", "db": "sqlite_alias", "db-postgresql": "postgresql_alias"}
"""The fixtures of those whose LOCATION is a key of DATABASES."""


@dataclass
class Backend:
    """One engine and its entry of MULTISESSION; ``dump()`` returns all that its server holds."""

    name: str
    entry: dict[str, Any]
    dump: Callable[[], bytes]
    proxy: Proxy[Any] | None = None
    engine: type[ServerSession] = field(init=False)

    def __post_init__(self) -> None:
        module = self.name.removesuffix("-postgresql")
        self.engine = import_module(f"django_multisession.engines.{module}").SessionStore

    @contextmanager
    def configured(self, **changes: Any) -> Iterator[type[ServerSession]]:
        """Point MULTISESSION to the backend; yield the engine's SessionStore."""
        with override_settings(MULTISESSION={"default": {"TIMEOUT": 20.0, **self.entry, **changes}}):
            yield self.engine


@pytest.fixture(scope="module")
def sqlite_alias(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    settings = sqlite(tmp_path_factory.mktemp("sessions"))
    with _added(settings, "contract_sqlite", django_db_blocker) as alias:
        yield alias


@pytest.fixture(scope="module")
def postgresql_alias(postgresql_server: Server[Any], django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with _added(postgresql_server.location, "contract_postgresql", django_db_blocker) as alias:
        yield alias


@pytest.fixture(scope="module")
def pgbouncer_alias(pgbouncer_server: Server[Any], django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with _added(pgbouncer_server.location, "contract_pgbouncer", django_db_blocker) as alias:
        yield alias


@pytest.fixture(scope="module")
def mariadb_alias(mariadb_server: Server[Any], django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with _added(mariadb_server.location, "contract_mariadb", django_db_blocker) as alias:
        yield alias


@contextmanager
def _added(settings: Mapping[str, Any], alias: str, blocker: DjangoDbBlocker) -> Iterator[str]:
    """Add a database for a module's tests; a test lifts pytest-django's block for as long as it runs."""
    with ExitStack() as stack:
        with blocker.unblock():
            stack.enter_context(database(settings, alias))
        yield alias
        with blocker.unblock():
            stack.close()


@pytest.fixture(params=on_servers(SERVERS))
def backend(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Backend]:
    name: str = request.param
    server = SERVERS[name] and request.getfixturevalue(SERVERS[name] or "")
    # Of the module: a connection takes longer than most tests.
    alias = ALIASES.get(name)
    location = request.getfixturevalue(alias) if alias else server and server.location
    with django_db_blocker.unblock():
        yield _backend(name, server, location)


@pytest.fixture(params=on_servers(NETWORKED))
def proxied(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Backend]:
    """A backend that is reached through a proxy."""
    name: str = request.param
    server = request.getfixturevalue(SERVERS[name] or "")
    with Proxy(server) as proxy, ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        location = stack.enter_context(database(proxy.location, "proxied")) if name in ALIASES else proxy.location
        yield _backend(name, server, location, proxy)


def _backend(name: str, server: Any, location: Any, proxy: Proxy[Any] | None = None) -> Backend:
    entry: dict[str, Any] = {} if location is None else {"LOCATION": location}
    if name == "postgresql":
        entry["OPTIONS"] = {"connection": "own"}
    dumps: dict[str, Callable[[], bytes]] = {
        "memory": _dump_memory,
        "redis": lambda: _dump_redis(server.location),
        "memcached": lambda: _dump_memcached(server),
        "mongodb": lambda: _dump_mongodb(server.location),
        "postgresql": lambda: _dump_postgresql(server.url),
        "db": lambda: _dump_sqlite(location),
        "db-postgresql": lambda: _dump_postgresql(server.url),
    }
    return Backend(name, entry, dumps[name], proxy)


def _dump_memory() -> bytes:
    from django_multisession.stores import memory

    return b"\n".join(part for key, row in memory._rows.value.items() for part in (key.encode(), row.payload))


def _dump_sqlite(alias: str) -> bytes:
    path = Path(connections[alias].settings_dict["NAME"])
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


def _dump_redis(location: str) -> bytes:
    with redis.Redis.from_url(location) as client:
        keys: Any = client.keys("*")
        return b"\n".join([*keys, *(client.get(key) for key in keys)])


def _dump_memcached(server: Server[str]) -> bytes:
    with server.connect() as connection:
        connection.sendall(b"lru_crawler metadump all\r\n")
        listing = b""
        while not listing.endswith(b"END\r\n"):
            listing += connection.recv(65536)
    keys = [unquote_to_bytes(line.split()[0].removeprefix(b"key=")) for line in listing.splitlines()[:-1]]
    client = Client(server.location)
    try:
        return b"\n".join([listing, *keys, *(client.get(key) or b"" for key in keys)])
    finally:
        client.close()


def _dump_mongodb(location: str) -> bytes:
    with pymongo.MongoClient[dict[str, Any]](location) as client:
        found = client.get_default_database()
        return b"\n".join(
            bson.encode(document) for name in found.list_collection_names() for document in found[name].find()
        )


def _dump_postgresql(url: str) -> bytes:
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [row for (table,) in tables for row in connection.execute(f'SELECT * FROM "{table}"').fetchall()]  # noqa: S608 - names by the server
        return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)
