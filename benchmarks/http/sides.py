"""Which engines are measured: the settings of our side and of Django's, on the same server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.http.web import Uvicorn, WebServer, site_environment
from benchmarks.sides import OURS
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import RedisServer

POOL = {"min_size": 4, "max_size": 20}


@dataclass(frozen=True)
class HttpSide:
    """One side by the name that the report shows, and the settings that make it."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class HttpEntrant:
    """An engine: the kind of server it needs, and its sides there, ours first."""

    sides: Callable[[Any, type[WebServer]], Sequence[HttpSide]]
    server: type[Server[Any]] | None = None
    options: Sequence[str] = ()

    def missing(self) -> str | None:
        """Return why the server cannot be started here, or None."""
        return self.server.available() if self.server else None

    @contextmanager
    def location(self) -> Iterator[Any]:
        """Run the server until the end of the block; yield its location, None where none is needed."""
        if self.server is None:
            yield None
            return
        with self.server(*self.options) as server:
            if self.server is PostgreSQLServer:
                _migrate(server.location)
            yield server.location


def _ours(engine: str, location: object = None, **settings: Any) -> HttpSide:
    entry = {} if location is None else {"LOCATION": location}
    ours = {
        "MIDDLEWARE": ["django_multisession.middleware.SessionMiddleware"],
        "SESSION_ENGINE": f"django_multisession.engines.{engine}",
        "MULTISESSION": {"default": entry},
    }
    return HttpSide(OURS, {**ours, **settings})


def _django(engine: str, **settings: Any) -> HttpSide:
    theirs = {
        "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"],
        "SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
    }
    return HttpSide(f"Django's {engine}", {**theirs, **settings})


def _cached(engine: str, backend: str) -> Callable[[str, type[WebServer]], Sequence[HttpSide]]:
    def sides(location: str, web: type[WebServer]) -> Sequence[HttpSide]:
        cache = {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": location}
        return [_ours(engine, location), _django("cache", CACHES={"default": cache})]

    return sides


def _stored(engine: str) -> Callable[[Mapping[str, Any], type[WebServer]], Sequence[HttpSide]]:
    def sides(database: Mapping[str, Any], web: type[WebServer]) -> Sequence[HttpSide]:
        databases = {"default": _persistent(database, web)}
        return [_ours(engine, DATABASES=databases), _django("db", DATABASES=databases)]

    return sides


def _persistent(database: Mapping[str, Any], web: type[WebServer]) -> dict[str, Any]:
    """Let Django keep its connections, by the means that its documentation names for WSGI and for ASGI."""
    if web is not Uvicorn:
        return {**database, "CONN_MAX_AGE": None}
    # Each request has a thread of its own there: a connection that belongs to a thread is never used again.
    return {**database, "OPTIONS": {"pool": POOL}} if find_spec("psycopg_pool") else dict(database)


def _in_cookies(engine: str) -> Callable[[None, type[WebServer]], Sequence[HttpSide]]:
    return lambda _location, _web: [_ours(engine), _django("signed_cookies")]


def _migrate(database: Mapping[str, Any]) -> None:
    command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0", "--no-input"]
    variables = site_environment({"DATABASES": {"default": database}})
    subprocess.run(command, env={**os.environ, **variables}, check=True)


# For 256 requests at a time, each of which may connect.
_MANY = ("-c", "max_connections=600")

ENTRANTS: Mapping[str, HttpEntrant] = {
    "redis": HttpEntrant(_cached("redis", "redis.RedisCache"), RedisServer),
    # One thread, as in the other benchmarks.
    "memcached": HttpEntrant(_cached("memcached", "memcached.PyMemcacheCache"), MemcachedServer, ("-t", "1")),
    "postgresql": HttpEntrant(_stored("postgresql"), PostgreSQLServer, _MANY),
    "mongodb": HttpEntrant(lambda location, _web: [_ours("mongodb", location)], MongoDBServer),
    "db": HttpEntrant(_stored("db"), PostgreSQLServer, _MANY),
    "signed_cookies": HttpEntrant(_in_cookies("signed_cookies")),
    "encrypted_cookies": HttpEntrant(_in_cookies("encrypted_cookies")),
}
