"""Fixtures for every test. A server starts when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer

ServerT = TypeVar("ServerT", bound=Server[Any])


def serve(server_class: type[ServerT]) -> Iterator[ServerT]:
    """Yield a running server; skip, or under CI fail, with the reason when it is absent."""
    reason = server_class.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)
    with server_class() as server:
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
def postgresql_server() -> Iterator[PostgreSQLServer]:
    yield from serve(PostgreSQLServer)


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[MongoDBServer]:
    yield from serve(MongoDBServer)
