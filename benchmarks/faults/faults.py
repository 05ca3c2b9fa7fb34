"""The faults: each a context manager that begins one, and has ended it when it ends."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager

import psycopg

from benchmarks.faults.places import Place

Fault = Callable[[Place], AbstractContextManager[None]]
TRICKLE = 0.1
"""Seconds between two bytes of a trickling server."""


@contextmanager
def killed(place: Place) -> Iterator[None]:
    place.server.kill()
    yield
    place.server.restart()


@contextmanager
def stopped(place: Place) -> Iterator[None]:
    with place.server.paused():
        yield


@contextmanager
def refused(place: Place) -> Iterator[None]:
    place.proxy.refuse()
    yield
    place.proxy.restore()


@contextmanager
def trickling(place: Place) -> Iterator[None]:
    place.proxy.trickle(TRICKLE)
    yield
    place.proxy.restore()


@contextmanager
def full(place: Place) -> Iterator[None]:
    if place.name == "redis":
        place.server.ask(b"CONFIG SET maxmemory 1\r\n")
        yield
        place.server.ask(b"CONFIG SET maxmemory 0\r\n")
        return
    # Of the sizes that the sessions have: each has pages of its own.
    chunks = re.findall(rb"chunk_size (\d+)", place.server.ask(b"stats slabs\r\n"))
    items = [(b"fill-%s-%d" % (chunk, number), int(chunk) - 80) for chunk in chunks for number in range(60_000)]
    with place.server.connect() as connection, connection.makefile("rb") as lines:
        connection.settimeout(30)

        def send(commands: Iterator[bytes]) -> None:
            connection.sendall(b"".join([*commands, b"version\r\n"]))
            # Each item that finds no room is complained of, reply wanted or not.
            while not lines.readline().startswith(b"VERSION"):
                pass

        send(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, size, b"x" * size) for key, size in items)
        yield
        send(b"delete %s noreply\r\n" % key for key, _ in items)


@contextmanager
def read_only(place: Place) -> Iterator[None]:
    if place.name == "redis":
        place.server.ask(b"REPLICAOF 127.0.0.1 1\r\n")
        yield
        place.server.ask(b"REPLICAOF NO ONE\r\n")
        return
    with psycopg.connect(place.server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        yield
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def locked(place: Place) -> Iterator[None]:
    if place.name == "db":
        with closing(sqlite3.connect(place.file)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield
            database.rollback()
        return
    with psycopg.connect(place.server.url) as connection:
        connection.execute("LOCK TABLE multisession_record IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def terminated(place: Place) -> Iterator[None]:
    if place.name == "redis":
        place.server.ask(b"CLIENT KILL TYPE normal SKIPME yes\r\n")
    elif place.name == "postgresql":
        with psycopg.connect(place.server.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
    else:
        place.proxy.disconnect()
    yield


@contextmanager
def dropped(place: Place) -> Iterator[None]:
    place.proxy.forget()
    yield


@contextmanager
def unresolved(place: Place) -> Iterator[None]:
    place.resolver_hangs.touch()
    place.proxy.disconnect()
    yield
    place.resolver_hangs.unlink()


@contextmanager
def busy_machine(_: Place) -> Iterator[None]:
    with ExitStack() as stack:
        for _core in range(os.cpu_count() or 1):
            spinning = subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"])
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield


_SERVERS = ("redis", "memcached", "postgresql", "mongodb")
COLD = "cold start under load"
MOMENTARY = ("terminated", "idle drop")
"""They are over as soon as they have begun."""
FAULTS: Mapping[str, tuple[Fault, Sequence[str]]] = {
    # memcached, and mongo-java-server which stands in for MongoDB here, forget all with their process.
    "SIGKILL, then a restart": (killed, ("redis", "postgresql")),
    "SIGSTOP": (stopped, _SERVERS),
    "refused": (refused, _SERVERS),
    "trickle": (trickling, _SERVERS),
    "full": (full, ("redis", "memcached")),
    "read-only": (read_only, ("redis", "postgresql")),
    "locked": (locked, ("postgresql", "db")),
    "terminated": (terminated, _SERVERS),
    "idle drop": (dropped, _SERVERS),
    "DNS hangs": (unresolved, _SERVERS),
    COLD: (busy_machine, (*_SERVERS, "db")),
}
"""By name: the fault, and the backends that can have it."""
