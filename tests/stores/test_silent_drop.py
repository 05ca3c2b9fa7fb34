"""A firewall that forgets connections in use: what is sent over them is dropped in silence.

In a network of the test's own, whose routing drops all that comes from the ports of these connections; so it needs
Linux, `ip` and `unshare`, and somebody who may use them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

NETWORK = ("unshare", "--net")
BURST = """
import asyncio, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import psutil
from django.conf import settings
settings.configure()
from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.memcached.store import MemcachedStore
from django_multisession.stores.redis.store import RedisStore
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.redis import RedisServer

colour, engine = sys.argv[1:]
make, serve = (RedisStore, RedisServer) if engine == "redis" else (MemcachedStore, MemcachedServer)
for arguments in (
    "link set lo up",
    "rule add pref 1000 lookup local",  # after the rules that follow
    "rule del pref 0",
):
    subprocess.run(["ip", *arguments.split()], check=True)
together = threading.Barrier(8)

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

async def in_loop(store, port):
    burst = lambda: asyncio.gather(*(read(store) for _ in range(8)))
    await burst()
    forget(port)
    return await burst()

with serve() as server:
    store = make(StoreOptions(location=server.location, timeout=4.0))
    if colour == "async":
        outcomes = asyncio.run(in_loop(store, server.port))
    else:
        with ThreadPoolExecutor(8) as threads:
            burst = lambda: list(threads.map(on_thread, [store] * 8))
            burst()
            forget(server.port)
            outcomes = burst()
    store.close()
print(*[repr(outcome) for outcome in outcomes if outcome is not None] or ["served"])
"""


def _problem() -> str | None:
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "neither unshare nor ip"
    tried = subprocess.run(
        [*NETWORK, "ip", "rule", "add", "sport", "1", "blackhole"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip() if tried.returncode else None


@pytest.mark.parametrize("engine", ["redis", "memcached"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_burst_after_a_firewall_has_forgotten_connections_in_use_is_served(colour: str, engine: str) -> None:
    if problem := _problem():
        pytest.skip(f"No network of its own: {problem}")
    run = subprocess.run(
        [*NETWORK, sys.executable, "-c", BURST, colour, engine], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "served", run.stderr
