"""The contests: an engine of ours on a server, and what it is compared with there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks import packages
from benchmarks.bare import BareMemcached, BarePostgreSQL, BareRedis
from benchmarks.payload import LARGE, SMALL
from benchmarks.project import project
from benchmarks.sides import OURS, SessionSide, Side
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer

BASIC = ("load", "change", "create")
ENVELOPE = 64
"""Bytes that a record of ours has beside its JSON, about; a bare client moves as many."""

Data = Mapping[str, Any]
Make = Callable[[Data], Side]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Contest:
    """Sides on one server. ``settings`` and ``sides`` are made from the server's location; ours is the first side."""

    name: str
    settings: Callable[[Any], Settings]
    sides: Callable[[Any], Mapping[str, Make]]
    kind: type[Server[Any]] | None = None
    options: Sequence[str] = ()
    sizes: Mapping[str, Sequence[str]] | None = None
    """The operations by the size of the session."""

    @property
    def operations(self) -> Mapping[str, Sequence[str]]:
        return self.sizes or {SMALL: BASIC}

    def missing(self) -> str | None:
        """Return which server cannot be started here and why, or None."""
        return self.kind.available() if self.kind else None

    @contextmanager
    def at(self, location: Any) -> Iterator[Mapping[str, Make]]:
        """Run a block in a project that has its sessions at this location."""
        with project(**self.settings(location)):
            yield self.sides(location)


def engine(path: str) -> Make:
    """Return what makes a side of the SessionStore in an engine's module."""
    return lambda data: SessionSide(import_module(path).SessionStore, data)


def ours(name: str) -> dict[str, Make]:
    """Return our side."""
    return {OURS: engine(f"django_multisession.engines.{name}")}


def djangos(name: str) -> dict[str, Make]:
    """Return the side of an engine of Django's."""
    return {f"Django's {name}": engine(f"django.contrib.sessions.backends.{name}")}


def sealed(location: Any = None, **more: Any) -> Settings:
    """Return the settings of our side: records are encrypted, as is the default on servers."""
    entry = {"ENCRYPT": True} if location is None else {"ENCRYPT": True, "LOCATION": location}
    return {"MULTISESSION": {"default": entry}, **more}


def cache(backend: str, location: str) -> Settings:
    """Return an entry of CACHES."""
    return {"BACKEND": backend, "LOCATION": location}


def bare(side: Callable[[Any, int], Side], client: Callable[[], Any]) -> Make:
    """Return what makes the side of a bare client, for records as large as ours."""
    return lambda data: side(client(), len(json.dumps(data, separators=(",", ":"))) + ENVELOPE)


def _redis_settings(location: str) -> Settings:
    caches = {
        "default": cache("django.core.cache.backends.redis.RedisCache", location),
        packages.DJANGO_REDIS: cache("django_redis.cache.RedisCache", location),
    }
    return sealed(location, CACHES=caches, SESSION_REDIS={"url": location})


def _redis_sides(location: str) -> Mapping[str, Make]:
    import redis

    return {
        **ours("redis"),
        **djangos("cache"),
        "django-redis": lambda data: SessionSide(packages.DjangoRedisSession, data),
        "django-redis-sessions": lambda data: SessionSide(packages.django_redis_sessions(), data),
        "Flask-Session": lambda data: packages.FlaskSide(location, data),
        BareRedis.name: bare(BareRedis, lambda: redis.Redis.from_url(location)),
    }


def _memcached_settings(location: str) -> Settings:
    caches = {"default": cache("django.core.cache.backends.memcached.PyMemcacheCache", location)}
    return sealed(location, CACHES=caches)


def _memcached_sides(location: str) -> Mapping[str, Make]:
    from pymemcache import Client  # type: ignore[import-untyped]  # it ships no types

    def client() -> Any:
        return Client(location, no_delay=True, default_noreply=False)

    return {**ours("memcached"), **djangos("cache"), BareMemcached.name: bare(BareMemcached, client)}


def _database(location: Mapping[str, Any]) -> Settings:
    return sealed(database=location)


def _postgresql_sides(location: Mapping[str, Any]) -> Mapping[str, Make]:
    import psycopg

    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    parameters = {name: location[key] for name, key in names.items() if location.get(key)}
    return {
        **ours("postgresql"),
        **djangos("db"),
        "django-user-sessions": engine("user_sessions.backends.db"),
        "django-qsessions": engine("qsessions.backends.db"),
        BarePostgreSQL.name: bare(BarePostgreSQL, lambda: psycopg.connect(autocommit=True, **parameters)),
    }


_REDIS_SIZES = {SMALL: BASIC, LARGE: ("load", "create")}

CONTESTS = (
    Contest("redis", _redis_settings, _redis_sides, RedisServer, sizes=_REDIS_SIZES),
    Contest("redis, newest", _redis_settings, _redis_sides, NewestRedisServer),
    # One thread: of four, which one a connection got, and on which core that ran, decided a whole run.
    Contest("memcached", _memcached_settings, _memcached_sides, MemcachedServer, ("-t", "1")),
    Contest("postgresql", _database, _postgresql_sides, PostgreSQLServer),
    Contest("db", _database, lambda _: {**ours("db"), **djangos("db")}, PostgreSQLServer),
    *(
        Contest(name, lambda _: {}, lambda _, name=name: {**ours(name), **djangos("signed_cookies")})  # type: ignore[misc]  # a lambda with a default
        for name in ("signed_cookies", "encrypted_cookies")
    ),
)
