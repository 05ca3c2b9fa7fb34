"""The engines that are measured, and how to open their contests on servers that are started for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from django.contrib.sessions.backends import file

from benchmarks import packages
from benchmarks.contests import Contest, Entrant, Loop, djangos, ours
from benchmarks.payload import Payload
from benchmarks.project import project
from benchmarks.sides import SessionSide, Side
from django_multisession.bridge import run_sync
from django_multisession.sessions.server import ServerSession
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer

TTL = 1_209_600
"""Seconds that the records live: Django's SESSION_COOKIE_AGE."""

Opening = Iterator[Contest]
Reach = Callable[[Server[Any]], AbstractContextManager[int]]
"""Gives the port by which a server is reached, as long as the contest lasts."""


@contextmanager
def directly(server: Server[Any]) -> Iterator[int]:
    """Reach a server by its own port."""
    yield server.port


@contextmanager
def redis(reach: Reach, kind: type[RedisServer] = RedisServer) -> Opening:
    from benchmarks.bare.redis import AsyncBareRedis, BareRedis

    def bare(payload: Payload, loop: Loop | None) -> Side:
        record = _record("redis", payload)
        return AsyncBareRedis(location, record, TTL, loop) if loop else BareRedis(location, record, TTL)

    with kind() as server, reach(server) as port:
        location = server.location_at(port)
        caches = {
            "default": _cache("django.core.cache.backends.redis.RedisCache", location),
            packages.DJANGO_REDIS: _cache("django_redis.cache.RedisCache", location),
        }
        with project(location=location, caches=caches):
            entrants = [ours("redis"), djangos("cache"), packages.django_redis()]
            entrants += [packages.django_redis_sessions(location), packages.flask_session(location)]
            yield Contest("redis", _named("Redis", server), [*entrants, Entrant(BareRedis.name, bare)])


def newest_redis(reach: Reach) -> AbstractContextManager[Contest]:
    """Open the contest on a Redis that swaps by SET … IFEQ, where scripts/test has built one."""
    return redis(reach, NewestRedisServer)


@contextmanager
def memcached(reach: Reach) -> Opening:
    from benchmarks.bare.memcached import BareMemcached

    def bare(payload: Payload, _loop: Loop | None) -> Side:
        return BareMemcached(location, _record("memcached", payload), TTL)

    # One thread: of four, which one a connection got, and on which core that ran, decided a whole run.
    with MemcachedServer("-t", "1") as server, reach(server) as port:
        location = server.location_at(port)
        caches = {"default": _cache("django.core.cache.backends.memcached.PyMemcacheCache", location)}
        with project(location=location, caches=caches):
            entrants = [ours("memcached"), djangos("cache"), Entrant(BareMemcached.name, bare, ("sync",))]
            yield Contest("memcached", _named("memcached", server), entrants)


@contextmanager
def postgresql(reach: Reach) -> Opening:
    from benchmarks.bare.postgresql import AsyncBarePostgreSQL, BarePostgreSQL

    def bare(payload: Payload, loop: Loop | None) -> Side:
        record, url = _record("postgresql", payload), server.url_at(port)
        return AsyncBarePostgreSQL(url, record, TTL, loop) if loop else BarePostgreSQL(url, record, TTL)

    with PostgreSQLServer() as server, reach(server) as port, project(database=server.location_at(port)):
        entrants = [ours("postgresql"), djangos("db"), packages.django_user_sessions(), packages.django_qsessions()]
        where = _named("PostgreSQL", server) + ", fsync off"
        yield Contest("postgresql", where, [*entrants, Entrant(BarePostgreSQL.name, bare)])


@contextmanager
def mongodb(reach: Reach) -> Opening:
    from benchmarks.bare.mongodb import AsyncBareMongoDB, BareMongoDB

    def bare(payload: Payload, loop: Loop | None) -> Side:
        record = _record("mongodb", payload)
        return AsyncBareMongoDB(location, record, TTL, loop) if loop else BareMongoDB(location, record, TTL)

    with MongoDBServer() as server, reach(server) as port:
        location = server.location_at(port)
        with project(location=location):
            program = "mongod" if server.is_real else "mongo-java-server, which reports"
            yield Contest("mongodb", _named(program, server), [ours("mongodb"), Entrant(BareMongoDB.name, bare)])


@contextmanager
def db_on_postgresql(reach: Reach) -> Opening:
    with PostgreSQLServer() as server, reach(server) as port, project(database=server.location_at(port)):
        yield Contest("db", _named("PostgreSQL", server) + ", fsync off", [ours("db"), djangos("db")])


@contextmanager
def db_on_sqlite(_reach: Reach) -> Opening:
    import sqlite3

    with tempfile.TemporaryDirectory() as directory:
        entry = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(directory) / "sessions.sqlite3",
            "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
        }
        # It looks up the setting once in a process, and so would keep to a directory that is gone.
        file_sessions = type("SessionStore", (file.SessionStore,), {"_storage_path": directory})

        def files(payload: Payload, loop: Loop | None) -> Side:
            return SessionSide("Django's file", file_sessions, payload, loop)

        with project(database=entry):
            entrants = [ours("db"), djangos("db"), Entrant("Django's file", files)]
            entrants += [packages.django_user_sessions(), packages.django_qsessions()]
            yield Contest("db", f"SQLite {sqlite3.sqlite_version}, WAL", entrants)


@contextmanager
def memory(_reach: Reach) -> Opening:
    cache = _cache("django.core.cache.backends.locmem.LocMemCache", "")
    # Beyond so many entries it drops some at random; by default 300.
    with project(caches={"default": {**cache, "OPTIONS": {"MAX_ENTRIES": 100_000}}}):
        yield Contest("memory", "this process' memory", [ours("memory"), djangos("cache")])


@contextmanager
def signed_cookies(_reach: Reach) -> Opening:
    with project():
        yield Contest("signed_cookies", "no server", [ours("signed_cookies"), djangos("signed_cookies")])


@contextmanager
def encrypted_cookies(_reach: Reach) -> Opening:
    with project():
        yield Contest("encrypted_cookies", "no server", [ours("encrypted_cookies"), djangos("signed_cookies")])


@dataclass(frozen=True)
class Engine:
    """How to open an engine's contests, and the servers that they need."""

    openings: Sequence[Callable[[Reach], AbstractContextManager[Contest]]]
    servers: Sequence[type[Server[Any]]] = ()

    def missing(self) -> str | None:
        """Return which server cannot be started here and why, or None."""
        return next(filter(None, (server.available() for server in self.servers)), None)


ENGINES = {
    "redis": Engine([redis, *([] if NewestRedisServer.available() else [newest_redis])], [RedisServer]),
    "memcached": Engine([memcached], [MemcachedServer]),
    "postgresql": Engine([postgresql], [PostgreSQLServer]),
    "mongodb": Engine([mongodb], [MongoDBServer]),
    "db": Engine([db_on_sqlite, db_on_postgresql], [PostgreSQLServer]),
    "memory": Engine([memory]),
    "signed_cookies": Engine([signed_cookies]),
    "encrypted_cookies": Engine([encrypted_cookies]),
}


def _record(engine: str, payload: Payload) -> bytes:
    """Return a record of ours as the server holds it, for the bare client."""
    session_class: type[ServerSession] = import_module(f"django_multisession.engines.{engine}").SessionStore
    session = session_class()
    session.update(payload.data)
    session.save()
    records = session.records()
    assert session.session_key is not None
    record = run_sync(records.store.read(records.storage_key(session.session_key)))
    assert record is not None
    return record.payload


def _cache(backend: str, location: str) -> dict[str, Any]:
    return {"BACKEND": backend, "LOCATION": location}


def _named(program: str, server: Server[Any]) -> str:
    return f"{program} {server.version()}"
