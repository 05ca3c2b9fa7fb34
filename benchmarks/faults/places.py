"""Where sessions are kept in a run: a server behind a proxy, which the site reaches by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.site import HOST, RESOLVER, VARIABLE
from django_multisession.testing.servers.base import LOOPBACK, Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer

SITE = "benchmarks.faults.site"
TIMEOUT = 1.0
"""Seconds, the default; of SQLite's busy timeout a quarter of it: each wait holds all of gevent's hub."""


@dataclass(frozen=True)
class Place:
    """A backend as it is failed, and what a site needs to use it. ``db`` has a file, and no server."""

    name: str
    server: Any
    proxy: Any
    resolver_hangs: Path
    variables: Mapping[str, str]
    file: Path


_SERVERS: dict[str, Server[Any]] = {
    # What it has acknowledged survives its crash.
    "redis": RedisServer("--appendonly", "yes", "--appendfsync", "always"),
    # It refuses what it has no room for; without -M it would forget other sessions.
    "memcached": MemcachedServer("-M", "-m", "8"),
    "postgresql": PostgreSQLServer(),
    "mongodb": MongoDBServer(),
}
NAMES = (*_SERVERS, "db")


def missing(name: str) -> str | None:
    """Return why a backend is not here, or None."""
    return _SERVERS[name].available() if name in _SERVERS else None


@contextmanager
def place(name: str) -> Iterator[Place]:
    """Run a backend until the end of the block."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        if name == "db":
            yield _prepared(name, None, None, directory)
        else:
            with _SERVERS[name] as server, Proxy(server) as proxy:
                yield _prepared(name, server, proxy, directory)


def _prepared(name: str, server: Any, proxy: Any, directory: Path) -> Place:
    file, resolver_hangs = directory / "sessions.sqlite3", directory / "hangs"
    database: dict[str, Any] = {}
    entry: dict[str, Any] = {"TIMEOUT": TIMEOUT}
    if name == "db":
        waiting = {"timeout": TIMEOUT / 4, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file), "OPTIONS": waiting}
    elif name == "postgresql":
        database = {**proxy.location, "HOST": HOST}
    else:
        entry["LOCATION"] = proxy.location.replace(LOOPBACK, HOST)
    settings = {
        "SESSION_ENGINE": f"django_multisession.engines.{name}",
        "MULTISESSION": {"default": entry},
        "DATABASES": {"default": database},
        RESOLVER: str(resolver_hangs),
    }
    variables = {VARIABLE: json.dumps(settings)}
    if database:
        environment = {**os.environ, **variables, "DJANGO_SETTINGS_MODULE": SITE}
        subprocess.run([sys.executable, "-m", "django", "migrate", "-v0", "--skip-checks"], env=environment, check=True)
    return Place(name, server, proxy, resolver_hangs, variables, file)
