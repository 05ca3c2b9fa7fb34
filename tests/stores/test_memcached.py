"""What is particular to the memcached store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pymemcache import Client  # type: ignore[import-untyped]  # it ships no types

from django_multisession.bridge import run_sync
from django_multisession.exceptions import SessionTooLarge
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.memcached.store import MemcachedStore, expiry
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.proxy import Proxy
from tests.stores.helpers import KEY, OTHER, V1, V2, V3, Drive, payload
from tests.stores.memcached import put, store_at

DAY = 24 * 60 * 60


@pytest.fixture
def client(memcached_server: MemcachedServer) -> Iterator[Client]:
    client = Client(memcached_server.location, default_noreply=False, timeout=1)
    client.flush_all()
    yield client
    client.close()


@pytest.fixture
def store(memcached_server: MemcachedServer) -> Iterator[MemcachedStore]:
    store = store_at(memcached_server.location)
    yield store
    store.close()


# Settings.


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (None, "127.0.0.1:11211"),
        ("cache", "cache:11211"),
        ("cache:0211", "cache:211"),
        ("[::1]", "[::1]:11211"),
        ("[::1]:7000", "[::1]:7000"),
        ("unix:/run/memcached.sock", "unix:/run/memcached.sock"),
        (("a:1", "unix:/b"), "a:1, unix:/b"),
    ],
)
def test_name_is_the_location(location: Any, name: str) -> None:
    assert MemcachedStore(StoreOptions(location=location)).name == name


@pytest.mark.parametrize(
    "location",
    [
        *("", "host:", ":11211", "host:port", "host:0", "host:99999", "::1", "a b:1"),
        *("unix:relative", "memcached://u:secret@host:1"),
        *(7, (), ("a", "a:11211"), ("a", 7)),
    ],
)
def test_wrong_location_is_refused(location: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"MULTISESSION: LOCATION") as caught:
        MemcachedStore(StoreOptions(location=location))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"serde": None},
        {"key_prefix": b"x"},
        {"timeout": 1},
        {"ignore_exc": True},
        {"socket_module": None},
        {"max_item_size": "8m"},
        {"max_idle": 0},
        {"client": "no.such.module"},
        {"client": "django.utils.module_loading.nothing"},
        {"client": "django.VERSION"},
        {"colour": "blue"},
    ],
)
def test_options_that_break_promises_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        MemcachedStore(StoreOptions(options=options))


@pytest.mark.parametrize("prefix", ["a b", "a\tb", "a\x7f", "é" * 103, "x" * 206])
def test_prefix_that_does_not_fit_into_a_key_is_refused(prefix: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="KEY_PREFIX"):
        MemcachedStore(StoreOptions(prefix=prefix))


@pytest.mark.parametrize("prefix", ["", "shop", "bücher", "x" * 205])
def test_value_is_the_payload_under_prefix_and_storage_key(
    drive: Drive, memcached_server: MemcachedServer, client: Client, prefix: str
) -> None:
    store = store_at(memcached_server.location, prefix=prefix)
    drive(store.insert(KEY, payload(V1), 60, V1))
    address = (f"{prefix}:" if prefix else "") + f"dms:{KEY}"
    assert client.get(address.encode()) == payload(V1)
    store.close()


made: list[str] = []


def make_client(server: str, **settings: Any) -> Client:
    """Be a project's own factory of clients."""
    made.append(server)
    return Client(server, **settings)


def test_clients_are_made_by_the_projects_own_factory(drive: Drive, memcached_server: MemcachedServer) -> None:
    store = store_at(memcached_server.location, options={"client": f"{__name__}.make_client", "encoding": "utf-8"})
    made.clear()
    assert drive(store.read(KEY)) is None
    assert made == [memcached_server.location]
    store.close()


# Tokens.


def test_each_operation_is_one_command(drive: Drive, store: MemcachedStore, memcached_server: MemcachedServer) -> None:
    with Proxy(memcached_server) as proxy:
        counted = store_at(proxy.location)

        async def requests(operation: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
            proxy.reset()
            result = await operation
            return result, proxy.requests

        async def scenario() -> None:
            await store.delete_many([KEY, OTHER])
            _, count = await requests(counted.insert(KEY, payload(V1), 60, V1))
            assert count == 1
            record, count = await requests(counted.read(KEY))
            assert count == 1
            written, count = await requests(counted.replace(KEY, payload(V2), 60, record.token, V2))
            assert count == 1
            assert await requests(counted.exists([KEY, OTHER])) == ({KEY}, 1)
            # Without memcached's own token it is asked for first.
            written, count = await requests(counted.replace(KEY, payload(V3), 60, written, V3))
            assert count == 2
            assert (await requests(counted.delete(KEY, written)))[1] == 2
            assert await requests(counted.delete(KEY)) == (False, 1)
            assert await requests(counted.end(KEY, payload(V3), 60)) == (None, 1)

        drive(scenario())
        counted.close()


def test_token_of_a_write_is_compared(drive: Drive, store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        first = await put(store, KEY)
        second = await store.replace(KEY, payload(V2), 60, first, V2)
        assert second is not None
        assert await store.replace(KEY, payload(V3), 60, first, V3) is None
        assert not await store.delete(KEY, first)
        assert await store.delete(KEY, second)
        assert not await store.delete(KEY, second)
        assert await store.read(KEY) is None
        assert await store.insert(KEY, payload(V1), 60, V1)

    drive(scenario())


def test_version_that_looks_like_a_cas_is_none(drive: Drive, store: MemcachedStore, client: Client) -> None:
    digits = b"00000001"

    async def scenario() -> None:
        token = await put(store, KEY, digits)
        assert await store.replace(KEY, payload(V2), 60, token, V2)

    drive(scenario())


def test_delete_at_a_version_loses_against_a_later_write(drive: Drive, store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        loaded = await store.read(KEY)
        assert loaded
        assert await store.replace(KEY, payload(V2), 60, loaded.token, V2)
        assert not await store.delete(KEY, loaded.token)
        current = await store.read(KEY)
        assert current
        assert current.payload == payload(V2)
        assert await store.delete(KEY, current.token)
        assert await store.exists([KEY]) == set()
        assert not await store.delete(KEY, current.token)

    drive(scenario())


# Lifetime.


@pytest.mark.parametrize(
    ("ttl", "now", "sent"),
    [
        (1, 0, 1),
        (30 * DAY, 1_000_000_000, 30 * DAY),
        (30 * DAY + 1, 1_000_000_000, 1_000_000_000 + 30 * DAY + 1),
        (10**10, 1_000_000_000, 2**31 - 1),
        (31 * DAY, 2**31 - 30 * DAY, 30 * DAY),
        (10**10, 2**32, 30 * DAY),
        (10**16, 1_000_000_000, 2**31 - 1),
    ],
)
def test_lifetime_is_sent_as_memcached_takes_it(ttl: int, now: float, sent: int) -> None:
    assert expiry(ttl, now) == sent


@pytest.mark.parametrize("ttl", [30 * DAY, 30 * DAY + 1, 365 * DAY, 10**10, 10**16])
def test_long_lifetime_is_not_expired_at_once(drive: Drive, store: MemcachedStore, client: Client, ttl: int) -> None:
    async def scenario() -> None:
        token = await put(store, KEY, ttl=ttl)
        assert await store.replace(KEY, payload(V2), ttl, token, V2)
        assert await store.read(KEY)
        await store.end(OTHER, payload(V3), ttl)
        assert await store.read(OTHER)

    drive(scenario())
    left = int(client.raw_command(f"mg dms:{KEY} t")[4:])
    assert min(ttl, 2**31 - int(time.time())) - left < 3


# Size.


def test_payload_over_the_limit_leaves_the_old_one(drive: Drive, store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        largest = store.max_payload
        token = await put(store, KEY, size=largest)
        with pytest.raises(SessionTooLarge, match=f"{largest + 1} bytes"):
            await store.replace(KEY, payload(V2, size=largest + 1), 60, token, V2)
        record = await store.read(KEY)
        assert record
        assert record.payload == payload(V1, size=largest)
        with pytest.raises(SessionTooLarge):
            await store.insert(OTHER, payload(V2, size=largest + 1), 60, V2)
        assert await store.read(OTHER) is None

    drive(scenario())


def test_server_with_a_lower_limit_leaves_the_old_one(drive: Drive) -> None:
    with MemcachedServer("-I", "8k", "-o", "slab_chunk_max=4096") as server:
        store = store_at(server.location)

        async def scenario() -> None:
            token = await put(store, KEY)
            for size in (9000, 900_000):
                with pytest.raises(SessionTooLarge, match="max_item_size"):
                    await store.replace(KEY, payload(V2, size=size), 60, token, V2)
                assert await store.exists([KEY]) == {KEY}
            assert await store.replace(KEY, payload(V2, size=4000), 60, token, V2)

        drive(scenario())
        store.close()


def test_server_with_a_higher_limit_is_used_when_told(drive: Drive) -> None:
    with MemcachedServer("-I", "2m") as server:
        store = store_at(server.location, options={"max_item_size": 2 * 1024 * 1024})
        assert drive(store.insert(KEY, payload(V1, size=store.max_payload), 60, V1))
        store.close()


# Inspection.


@pytest.mark.parametrize(
    ("options", "problem"),
    [([], None), (["-M"], "-M"), (["-C"], "-C"), (["-I", "512k"], "max_item_size")],
)
def test_inspection_names_what_endangers_sessions(drive: Drive, options: list[str], problem: str | None) -> None:
    with MemcachedServer(*options) as server:
        store = store_at(server.location)
        found = drive(store.inspect())
        store.close()
        assert found.version == server.version()
    assert abs(found.time - time.time()) < 5
    assert len(found.problems) == (problem is not None)
    assert all(str(problem) in text for text in found.problems)
    # Whoever asks after a restart is told why everybody is logged out.
    assert [server.location in note and "nothing in it" in note for note in found.notes] == [True]


def test_inspection_tells_of_evictions() -> None:
    with MemcachedServer("-m", "2") as server:
        store = store_at(server.location)
        for number in range(40):
            run_sync(store.insert(f"{number:040}", payload(V1, size=200_000), 60, V1))
        assert "evicted" in run_sync(store.inspect()).problems[0]
        store.close()


# Whose connection it is.


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_event_loops_leave_nothing_behind(store: MemcachedStore) -> None:
    run_sync(store.read(KEY))
    before = open_files(), threading.active_count()
    for _ in range(200):
        asyncio.run(store.read(KEY))
    assert (open_files(), threading.active_count()) == before


SESSIONS_OF_BOTH_COLOURS = """
import asyncio, logging, sys
from django_multisession.bridge import run_sync
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.memcached.store import MemcachedStore

logging.getLogger("asyncio").setLevel(logging.ERROR)  # or -X dev tells of a busy machine
store = MemcachedStore(StoreOptions(sys.argv[1], timeout=20.0))
asyncio.run(store.read("ab" * 20))
for _ in range(2):
    run_sync(store.read("ab" * 20))
"""


def test_interpreter_ends_without_warnings(memcached_server: MemcachedServer) -> None:
    command = [sys.executable, "-X", "dev", "-c", SESSIONS_OF_BOTH_COLOURS, memcached_server.location]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_forked_child_uses_connections_of_its_own(store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        if (child := os.fork()) == 0:
            code = 1
            try:
                for _ in range(100):
                    assert run_sync(store.read(KEY))
                store.close()
                code = 0
            finally:
                os._exit(code)
        for _ in range(100):
            assert await store.read(KEY)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - driven without a loop
        assert await store.read(KEY)

    run_sync(scenario())
