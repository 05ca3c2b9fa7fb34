"""Every server-side engine of ours keeps the contract of sessions, in both colours, against real servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.sessions.server import ServerSession
from django_multisession.testing import SessionContract
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.memcached_ring import MemcachedRing
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer


def session_store(engine: str) -> type[ServerSession]:
    """Return the SessionStore of an engine; imported late, for one without its library must not stop the others."""
    found: type[ServerSession] = import_module(f"django_multisession.engines.{engine}").SessionStore
    return found


class TestMemory(SessionContract):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("memory")


@pytest.mark.server
class TestRedis(SessionContract):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("redis")

    @pytest.fixture
    def entry(self, redis_server: RedisServer) -> Mapping[str, Any]:
        return {"LOCATION": redis_server.location}


@pytest.mark.same_client
class TestRedisThatCompares(TestRedis):
    @pytest.fixture
    def redis_server(self, newest_redis_server: NewestRedisServer) -> RedisServer:
        return newest_redis_server


@pytest.mark.nightly
class TestRedisOnValkey(TestRedis):
    @pytest.fixture(params=["valkey_server", "older_valkey_server"])
    def entry(self, request: pytest.FixtureRequest) -> Mapping[str, Any]:
        return {"LOCATION": request.getfixturevalue(request.param).location}


@pytest.mark.nightly
class TestRedisOfSeveralServers(TestRedis):
    @pytest.fixture(params=["redis_cluster_server", "redis_sentinel_server"])
    def entry(self, request: pytest.FixtureRequest) -> Mapping[str, Any]:
        return {"LOCATION": request.getfixturevalue(request.param).location}


@pytest.mark.server
class TestMemcached(SessionContract):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("memcached")

    @pytest.fixture
    def entry(self, memcached_server: MemcachedServer) -> Mapping[str, Any]:
        return {"LOCATION": memcached_server.location}


@pytest.mark.nightly
class TestMemcachedRing(TestMemcached):
    @pytest.fixture
    def entry(self, memcached_ring_server: MemcachedRing) -> Mapping[str, Any]:
        return {"LOCATION": memcached_ring_server.location}


@pytest.mark.server
class TestMongoDB(SessionContract):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("mongodb")

    @pytest.fixture(autouse=True)
    def _quiet_driver(self, caplog: pytest.LogCaptureFixture) -> None:
        """Have PyMongo not write each command as JSON, once for each handler; test_secrets.py reads that."""
        caplog.set_level("INFO", "pymongo")

    @pytest.fixture
    def entry(self, mongodb_server: MongoDBServer) -> Mapping[str, Any]:
        return {"LOCATION": mongodb_server.location}


class OnAlias(SessionContract):
    """For engines whose LOCATION is a key of DATABASES."""

    @pytest.fixture(autouse=True)
    def _unblocked(self, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
        with django_db_blocker.unblock():
            yield

    def leave_thread(self) -> None:
        connections.close_all()


class TestDatabaseOnSQLite(OnAlias):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("db")

    @pytest.fixture
    def entry(self, sqlite_alias: str) -> Mapping[str, Any]:
        return {"LOCATION": sqlite_alias}


@pytest.mark.server
@pytest.mark.same_client
class TestDatabaseOnPostgreSQL(OnAlias):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("db")

    @pytest.fixture
    def entry(self, postgresql_alias: str) -> Mapping[str, Any]:
        return {"LOCATION": postgresql_alias}


@pytest.mark.server
@pytest.mark.same_client
class TestDatabaseOnMariaDB(OnAlias):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("db")

    @pytest.fixture
    def entry(self, mariadb_alias: str) -> Mapping[str, Any]:
        return {"LOCATION": mariadb_alias}


@pytest.mark.server
class TestPostgreSQL(OnAlias):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("postgresql")

    @pytest.fixture
    def entry(self, postgresql_alias: str) -> Mapping[str, Any]:
        return {"LOCATION": postgresql_alias, "OPTIONS": {"connection": "own"}}


@pytest.mark.server
@pytest.mark.same_client
class TestPostgreSQLBehindPgBouncer(OnAlias):
    @pytest.fixture
    def engine(self) -> type[ServerSession]:
        return session_store("postgresql")

    @pytest.fixture
    def entry(self, pgbouncer_alias: str) -> Mapping[str, Any]:
        return {"LOCATION": pgbouncer_alias, "OPTIONS": {"connection": "own", "pooler": "transaction"}}
