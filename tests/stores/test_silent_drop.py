"""A firewall that forgets connections in use: what is sent over them is dropped in silence.

In a network of the test's own, whose routing drops all that comes from the ports of these connections; so it needs
Linux, `ip` and `unshare`, and somebody who may use them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest

from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import RedisServer

NETWORK = ("unshare", "--net")
BURST = """
import asyncio, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
import psutil
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django_multisession"], DATABASES={"default": {}})
django.setup()
from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.stores.base import StoreOptions
from tests.databases import database

colour, engine, store_class, server_class = sys.argv[1:]
Store = getattr(import_module(f"django_multisession.stores.{engine}.store"), store_class)
Server = getattr(import_module(f"django_multisession.testing.servers.{engine}"), server_class)
for arguments in (
    "link set lo up",
    "rule add pref 1000 lookup local",  # after the rules that follow
    "rule del pref 0",
):
    subprocess.run(["ip", *arguments.split()], check=True)
together = threading.Barrier(8)
ATTEMPTS = 3  # for other processes may starve the server itself, whose probe has a tenth of a second

async def read(store):
    with Operation():
        for is_last in (False, True):
            try:
                return await store.read("ab" * 20)
            except Exception as error:
                if is_last or not getattr(error, "retryable", False):
                    return error

def on_thread(store):
    together.wait(20)
    return run_sync(read(store))

def forget(port):
    for each in psutil.Process().net_connections("tcp"):
        if each.raddr and each.raddr.port == port:
            rule = f"rule add pref 10 sport {port} dport {each.laddr.port} blackhole"  # no acknowledgment comes back
            subprocess.run(["ip", *rule.split()], check=True)

def is_served(outcomes):
    outcomes_of_attempts.append([repr(outcome) for outcome in outcomes if outcome is not None])
    return not outcomes_of_attempts[-1]

async def in_loop(store, port):
    burst = lambda: asyncio.gather(*(read(store) for _ in range(8)))
    for _ in range(ATTEMPTS):
        await burst()
        forget(port)
        if is_served(await burst()):
            break

outcomes_of_attempts = []
with Server() as server, ExitStack() as stack:
    location = server.location
    if engine == "postgresql":
        location = stack.enter_context(database(location))
    store = Store(StoreOptions(location=location, timeout=1.0))
    if colour == "async":
        asyncio.run(in_loop(store, server.port))
    else:
        with ThreadPoolExecutor(8) as threads:
            burst = lambda: list(threads.map(on_thread, [store] * 8))
            for _ in range(ATTEMPTS):
                burst()
                forget(server.port)
                if is_served(burst()):
                    break
    store.close()
print("served" if not outcomes_of_attempts[-1] else outcomes_of_attempts)
"""
STORES: dict[str, tuple[str, type[Server[Any]]]] = {
    "redis": ("RedisStore", RedisServer),
    "memcached": ("MemcachedStore", MemcachedServer),
    "postgresql": ("PostgreSQLStore", PostgreSQLServer),
    "mongodb": ("MongoDBStore", MongoDBServer),
}


def _problem() -> str | None:
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "neither unshare nor ip"
    tried = subprocess.run(
        [*NETWORK, "ip", "rule", "add", "sport", "1", "blackhole"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip() if tried.returncode else None


@pytest.mark.parametrize("engine", STORES)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_burst_after_a_firewall_has_forgotten_connections_in_use_is_served(colour: str, engine: str) -> None:
    if problem := _problem():
        pytest.skip(f"No network of its own: {problem}")
    store, server = STORES[engine]
    if problem := server.available():
        pytest.skip(problem)
    run = subprocess.run(
        [*NETWORK, sys.executable, "-c", BURST, colour, engine, store, server.__name__],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "served", run.stderr
