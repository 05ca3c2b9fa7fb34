"""Every store of ours keeps the contract, in both colours, against real servers."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis
from django.db import connections
from pymemcache import Client  # type: ignore[import-untyped]  # it ships no types
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.stores import memory
from django_multisession.stores.base import Store, StoreOptions
from django_multisession.stores.db import DatabaseStore
from django_multisession.stores.memcached.store import MemcachedStore
from django_multisession.stores.memory import MemoryStore
from django_multisession.stores.mongodb.store import MongoDBStore
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.stores.redis.store import RedisStore
from django_multisession.testing import StoreContract
from django_multisession.testing.servers.mariadb import MariaDBServer
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import DATABASE, MongoDBServer
from django_multisession.testing.servers.pgbouncer import PgBouncerServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer, SpeaksPostgreSQL
from django_multisession.testing.servers.redis import (
    NewestRedisServer,
    OlderValkeyServer,
    RedisServer,
    ValkeyServer,
)
from django_multisession.testing.servers.redis_cluster import RedisCluster
from django_multisession.testing.servers.redis_sentinel import RedisSentinel
from tests.databases import database, sqlite

PATIENCE = 20.0  # seconds: these tests are about answers, not about how soon they come
PREFIX = "contract"
LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def expire(self, store: Store, key: str) -> None:
        assert isinstance(store, MemoryStore)
        rows = memory._rows.value
        rows[key] = rows[key]._replace(ends_at=time.monotonic())


@pytest.mark.server
class TestRedisStore(StoreContract):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Iterator[RedisStore]:
        with redis.Redis.from_url(redis_server.location) as self.client:
            yield RedisStore(StoreOptions(redis_server.location, PREFIX, PATIENCE))

    def expire(self, store: Store, key: str) -> None:
        assert isinstance(store, RedisStore)
        assert self.client.pexpireat(store.address(key), 1)


@pytest.mark.same_client
class TestRedisStoreThatCompares(TestRedisStore):
    @pytest.fixture
    def redis_server(self, newest_redis_server: NewestRedisServer) -> RedisServer:
        return newest_redis_server


@pytest.mark.same_client
class TestRedisStoreOnValkey(TestRedisStore):
    @pytest.fixture
    def redis_server(self, valkey_server: ValkeyServer) -> RedisServer:
        return valkey_server


@pytest.mark.same_client
class TestRedisStoreOnOlderValkey(TestRedisStore):
    @pytest.fixture
    def redis_server(self, older_valkey_server: OlderValkeyServer) -> RedisServer:
        return older_valkey_server


@pytest.mark.server
class TestRedisStoreOnCluster(StoreContract):
    @pytest.fixture
    def store(self, redis_cluster_server: RedisCluster) -> Iterator[RedisStore]:
        node = redis_cluster_server.nodes[0]
        with redis.RedisCluster(host=node.host, port=node.port) as self.client:
            yield RedisStore(StoreOptions(redis_cluster_server.location, PREFIX, PATIENCE))

    def expire(self, store: Store, key: str) -> None:
        assert isinstance(store, RedisStore)
        assert self.client.pexpireat(store.address(key), 1)


@pytest.mark.server
class TestRedisStoreOnSentinel(StoreContract):
    @pytest.fixture
    def store(self, redis_sentinel_server: RedisSentinel) -> Iterator[RedisStore]:
        with redis.Redis.from_url(redis_sentinel_server.master.location) as self.client:
            yield RedisStore(StoreOptions(redis_sentinel_server.location, PREFIX, PATIENCE))

    def expire(self, store: Store, key: str) -> None:
        assert isinstance(store, RedisStore)
        assert self.client.pexpireat(store.address(key), 1)


@pytest.mark.server
class TestMemcachedStore(StoreContract):
    @pytest.fixture
    def store(self, memcached_server: MemcachedServer) -> Iterator[MemcachedStore]:
        self.client = Client(memcached_server.location)
        yield MemcachedStore(StoreOptions(memcached_server.location, PREFIX, PATIENCE))
        self.client.close()

    def expire(self, store: Store, key: str) -> None:
        assert isinstance(store, MemcachedStore)
        self.client.touch(store.address(key), -1, noreply=False)  # False where its second is over already


@pytest.mark.server
class TestMongoDBStore(StoreContract):
    @pytest.fixture
    def store(self, mongodb_server: MongoDBServer) -> Iterator[MongoDBStore]:
        with pymongo.MongoClient[dict[str, Any]](mongodb_server.location) as client:
            self.collection = client[DATABASE][f"multisession_{PREFIX}"]
            yield MongoDBStore(StoreOptions(mongodb_server.location, PREFIX, PATIENCE))

    def expire(self, store: Store, key: str) -> None:
        assert self.collection.update_one({"_id": key}, {"$set": {"w": LONG_AGO}}).matched_count


class AliasContract(StoreContract):
    """For stores whose location is an entry of DATABASES."""

    alias = "contract"

    def leave_thread(self) -> None:
        connections[self.alias].close()
        del connections[self.alias]

    def expire(self, store: Store, key: str) -> None:
        from django_multisession.models import SessionRecord

        past = SessionRecord.objects.using(self.alias).filter(key=key)
        assert past.update(expires_at=LONG_AGO) == 1


class TestDatabaseStoreOnSQLite(AliasContract):
    @pytest.fixture
    def store(self, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[DatabaseStore]:
        entry = sqlite(tmp_path, timeout=PATIENCE)
        with django_db_blocker.unblock(), database(entry, self.alias) as alias:
            yield DatabaseStore(StoreOptions(alias, PREFIX, PATIENCE))


@pytest.mark.server
class TestDatabaseStoreOnPostgreSQL(AliasContract):
    @pytest.fixture
    def store(self, postgresql_server: PostgreSQLServer, django_db_blocker: DjangoDbBlocker) -> Iterator[DatabaseStore]:
        with django_db_blocker.unblock(), database(postgresql_server.location, self.alias) as alias:
            yield DatabaseStore(StoreOptions(alias, PREFIX, PATIENCE))


@pytest.mark.server
class TestDatabaseStoreOnMariaDB(AliasContract):
    @pytest.fixture
    def store(self, mariadb_server: MariaDBServer, django_db_blocker: DjangoDbBlocker) -> Iterator[DatabaseStore]:
        with django_db_blocker.unblock(), database(mariadb_server.location, self.alias) as alias:
            yield DatabaseStore(StoreOptions(alias, PREFIX, PATIENCE))


@pytest.mark.server
class TestPostgreSQLStore(AliasContract):
    options: Mapping[str, Any] = {"connection": "own"}

    @pytest.fixture
    def server(self, postgresql_server: PostgreSQLServer) -> SpeaksPostgreSQL:
        return postgresql_server

    @pytest.fixture
    def store(self, server: SpeaksPostgreSQL, django_db_blocker: DjangoDbBlocker) -> Iterator[PostgreSQLStore]:
        with django_db_blocker.unblock(), database(server.location, self.alias) as alias:
            yield PostgreSQLStore(StoreOptions(alias, PREFIX, PATIENCE, self.options))


class TestPostgreSQLStoreUnprepared(TestPostgreSQLStore):
    options = {"connection": "own", "prepare": False}


class TestPostgreSQLStoreOnDjangosConnection(TestPostgreSQLStore):
    options = {"connection": "shared"}


class TestPostgreSQLStoreBehindPgBouncer(TestPostgreSQLStore):
    options = {"connection": "own", "pooler": "transaction"}

    @pytest.fixture
    def server(self, pgbouncer_server: PgBouncerServer) -> SpeaksPostgreSQL:
        return pgbouncer_server


class TestPostgreSQLStorePreparedBehindPgBouncer(TestPostgreSQLStoreBehindPgBouncer):
    options = {"connection": "own", "pooler": "transaction", "prepare": True}
