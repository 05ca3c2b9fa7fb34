"""The contests: an engine of ours, and who it is compared with on the same server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.payload import LOGGED_IN
from benchmarks.project import project
from benchmarks.sides import OURS, SessionSide, Side
from django_multisession.bridge import run
from django_multisession.sessions.server import ServerSession
from tests.servers.base import Server
from tests.servers.memcached import MemcachedServer
from tests.servers.mongodb import MongoDBServer
from tests.servers.postgresql import PostgreSQLServer
from tests.servers.redis import RedisServer

TTL = 1_209_600
"""Seconds that the records live: Django's SESSION_COOKIE_AGE."""


@dataclass(frozen=True)
class Contest:
    """An engine on a server, by the name that the report shows; the first of its sides is ours."""

    engine: str
    where: str
    sides: Sequence[Side]


Opening = Iterator[Contest]


def _ours(engine: str) -> SessionSide:
    return SessionSide(OURS, import_module(f"django_multisession.engines.{engine}").SessionStore)


def _django(engine: str) -> SessionSide:
    module = import_module(f"django.contrib.sessions.backends.{engine}")
    return SessionSide(f"Django's {engine}", module.SessionStore)


def _record(engine: str) -> bytes:
    """Return a record of ours as the server holds it, for the bare client."""
    session_class: type[ServerSession] = import_module(f"django_multisession.engines.{engine}").SessionStore
    session = session_class()
    session.update(LOGGED_IN)
    session.save()
    records = session.records()
    assert session.session_key is not None
    record = run(records.store.read(records.storage_key(session.session_key)))
    assert record is not None
    return record.payload


def _closed(contest: Contest) -> None:
    for side in contest.sides:
        side.close()


@contextmanager
def redis() -> Opening:
    from benchmarks.bare.redis import BareRedis

    with RedisServer() as server:
        cache = _cache("redis.RedisCache", server)
        with project(location=server.location, cache=cache):
            bare = BareRedis(server.location, _record("redis"), TTL)
            contest = Contest("redis", _named("Redis", server), [_ours("redis"), _django("cache"), bare])
            yield contest
            _closed(contest)


@contextmanager
def memcached() -> Opening:
    from benchmarks.bare.memcached import BareMemcached

    # One thread: of four, which one a connection got, and on which core that ran, decided a whole run.
    with MemcachedServer("-t", "1") as server:
        cache = _cache("memcached.PyMemcacheCache", server)
        with project(location=server.location, cache=cache):
            bare = BareMemcached(server.location, _record("memcached"), TTL)
            sides = [_ours("memcached"), _django("cache"), bare]
            contest = Contest("memcached", _named("memcached", server), sides)
            yield contest
            _closed(contest)


@contextmanager
def postgresql() -> Opening:
    from benchmarks.bare.postgresql import BarePostgreSQL

    with PostgreSQLServer() as server, project(database=server.location):
        bare = BarePostgreSQL(server.url, _record("postgresql"), TTL)
        where = _named("PostgreSQL", server) + ", fsync off"
        contest = Contest("postgresql", where, [_ours("postgresql"), _django("db"), bare])
        yield contest
        _closed(contest)


@contextmanager
def mongodb() -> Opening:
    from benchmarks.bare.mongodb import BareMongoDB

    with MongoDBServer() as server, project(location=server.location):
        bare = BareMongoDB(server.location, _record("mongodb"), TTL)
        program = "mongod" if server.is_real else "mongo-java-server, which reports"
        contest = Contest("mongodb", _named(program, server), [_ours("mongodb"), bare])
        yield contest
        _closed(contest)


@contextmanager
def db_on_postgresql() -> Opening:
    with PostgreSQLServer() as server, project(database=server.location):
        where = _named("PostgreSQL", server) + ", fsync off"
        yield Contest("db", where, [_ours("db"), _django("db")])


@contextmanager
def db_on_sqlite() -> Opening:
    import sqlite3

    with tempfile.TemporaryDirectory() as directory:
        entry = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(directory) / "sessions.sqlite3",
            "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
        }
        with project(database=entry):
            where = f"SQLite {sqlite3.sqlite_version}, WAL"
            yield Contest("db", where, [_ours("db"), _django("db")])


@contextmanager
def memory() -> Opening:
    with project(cache={"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}):
        yield Contest("memory", "the session layer alone", [_ours("memory"), _django("cache")])


@contextmanager
def signed_cookies() -> Opening:
    with project():
        sides = [_ours("signed_cookies"), _django("signed_cookies")]
        yield Contest("signed_cookies", "no server", sides)


@contextmanager
def encrypted_cookies() -> Opening:
    with project():
        sides = [_ours("encrypted_cookies"), _django("signed_cookies")]
        yield Contest("encrypted_cookies", "no server", sides)


@dataclass(frozen=True)
class Entrant:
    """An engine by its name, how to open its contests, and the servers that they need."""

    openings: Sequence[Callable[[], AbstractContextManager[Contest]]]
    servers: Sequence[type[Server[Any]]] = ()

    def missing(self) -> str | None:
        """Return which server cannot be started here and why, or None."""
        return next(filter(None, (server.available() for server in self.servers)), None)


ENTRANTS = {
    "redis": Entrant([redis], [RedisServer]),
    "memcached": Entrant([memcached], [MemcachedServer]),
    "postgresql": Entrant([postgresql], [PostgreSQLServer]),
    "mongodb": Entrant([mongodb], [MongoDBServer]),
    "db": Entrant([db_on_sqlite, db_on_postgresql], [PostgreSQLServer]),
    "memory": Entrant([memory]),
    "signed_cookies": Entrant([signed_cookies]),
    "encrypted_cookies": Entrant([encrypted_cookies]),
}


def _cache(backend: str, server: Server[str]) -> dict[str, str]:
    return {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": server.location}


def _named(program: str, server: Server[Any]) -> str:
    return f"{program} {server.version()}"
