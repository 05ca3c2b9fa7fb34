"""Fixtures for every test. A server starts when the first test asks for it.

A test is marked ``server`` if it is in a directory of ON_SERVERS, uses a fixture whose name ends so, or a parameter
made by `on_servers()`. A test that starts one unmarked fails, so that ``-m "not server"`` never starts any.
"""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest

from django_multisession.sessions.registration import registrations
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.group import ServerGroup
from django_multisession.testing.servers.mariadb import MariaDBServer
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.memcached_ring import MemcachedRing
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.pgbouncer import PgBouncerServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import (
    NewestRedisServer,
    OlderValkeyServer,
    RedisServer,
    ValkeyServer,
)
from django_multisession.testing.servers.redis_cluster import RedisCluster
from django_multisession.testing.servers.redis_sentinel import RedisSentinel
from tests import timing

HERE = Path(__file__).parent
ON_SERVERS = ("browser", "servers", "stores", "system")
"""Directories whose tests need servers, but for a few."""
DEAREST = ("browser", "system")
ServerT = TypeVar("ServerT", bound=Server[Any] | ServerGroup[Any])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="all tests, and more repetitions of those that repeat")


@pytest.fixture(scope="session")
def nightly(pytestconfig: pytest.Config) -> bool:
    """Whether to repeat for as long as it takes to find what is rare."""
    return bool(pytestconfig.getoption("--nightly"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what would be collected for nothing."""
    there = collection_path.parent == HERE and collection_path.name in ON_SERVERS
    return True if there and _without_servers(config) else None


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """Leave out the classes that are marked: a contract has hundreds of tests."""
    lines = obj.__mro__ if isinstance(obj, type) else ()
    marks = {mark.name for each in lines for mark in _listed(vars(each).get("pytestmark"))}
    return [] if marks & _left_out(collector.config) else None


def _listed(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _left_out(config: pytest.Config) -> set[str]:
    """Return the marks whose tests are not chosen."""
    nightly = set() if config.getoption("--nightly") else {"nightly"}
    return nightly | ({"server"} if _without_servers(config) else set())


def _without_servers(config: pytest.Config) -> bool:
    chosen: str = config.getoption("markexpr")
    return "not server" in chosen.split(" and ")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--nightly"):
        left_out = [item for item in items if item.get_closest_marker("nightly")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    # What takes longest begins first, or the other workers would wait at the end for the one that has it.
    items.sort(key=lambda item: _directory(item.path) not in DEAREST)
    for item in items:
        if _directory(item.path) in ON_SERVERS or any(
            name.endswith("_server") for name in getattr(item, "fixturenames", ())
        ):
            item.add_marker("server")


@functools.cache
def _directory(path: Path) -> str:
    return path.relative_to(HERE).parts[0]


def pytest_collection_finish() -> None:
    """Keep twenty thousand tests out of the garbage collector's way: a collection takes a second with them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _unfollowed() -> None:
    """Have the registry, whose tables are there for all tests, follow logins in its own alone."""
    registrations.make = None


@pytest.fixture(autouse=True)
def _still_unfollowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a test brings about that sets INSTALLED_APPS: the registry's application becomes ready once more."""
    monkeypatch.setattr(registrations, "make", None)


class _Running:
    test: pytest.Item | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _Running.test = item


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--nightly"):
        import hypothesis

        timing.assume_quiet()
        hypothesis.settings.register_profile("nightly")  # tests/unit/test_properties.py
        hypothesis.settings.load_profile("nightly")
    start = Server.start

    def start_for_a_marked_test(server: Server[Any]) -> Server[Any]:
        test = _Running.test
        if test is not None and test.get_closest_marker("server") is None:
            pytest.fail(f"{test.name} starts {server.name} and is not marked: use on_servers() or mark it server.")
        return start(server)

    patch = mock.patch.object(Server, "start", start_for_a_marked_test)
    patch.start()
    config.add_cleanup(patch.stop)


def on_servers(servers: Mapping[str, object]) -> list[Any]:
    """Return names of engines as a fixture's parameters; those that have a server are marked."""
    return [pytest.param(name, marks=[pytest.mark.server] if server else []) for name, server in servers.items()]


def serve(server_class: type[ServerT], **arguments: Any) -> Iterator[ServerT]:
    """Yield a running server; skip, or under CI fail, with the reason when it is absent."""
    reason = server_class.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)
    server = server_class(**arguments)
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    yield from serve(RedisServer)


@pytest.fixture(scope="session")
def newest_redis_server() -> Iterator[NewestRedisServer]:
    yield from serve(NewestRedisServer)


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[MemcachedServer]:
    yield from serve(MemcachedServer)


@pytest.fixture(scope="session")
def memcached_ring_server() -> Iterator[MemcachedRing]:
    yield from serve(MemcachedRing)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    yield from serve(PostgreSQLServer)


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[MongoDBServer]:
    yield from serve(MongoDBServer)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    yield from serve(ValkeyServer)


@pytest.fixture(scope="session")
def older_valkey_server() -> Iterator[OlderValkeyServer]:
    yield from serve(OlderValkeyServer)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    yield from serve(MariaDBServer)


@pytest.fixture(scope="session")
def redis_cluster_server() -> Iterator[RedisCluster]:
    yield from serve(RedisCluster)


@pytest.fixture(scope="session")
def redis_sentinel_server() -> Iterator[RedisSentinel]:
    yield from serve(RedisSentinel)


@pytest.fixture(scope="session")
def pgbouncer_server(postgresql_server: PostgreSQLServer) -> Iterator[PgBouncerServer]:
    yield from serve(PgBouncerServer, upstream=postgresql_server)
