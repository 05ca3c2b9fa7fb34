"""What is particular to the memcached store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pymemcache import Client  # type: ignore[import-untyped]  # it ships no types

from django_multisession.bridge import run_sync
from django_multisession.envelope import Header
from django_multisession.exceptions import SessionTooLarge, StoreUnavailable
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.memcached.rendezvous import choose
from django_multisession.stores.memcached.store import MemcachedStore, expiry
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.proxy import Proxy

KEY, OTHER = "ab" * 20, "cd" * 20
V1, V2, V3 = b"version1", b"version2", b"version3"
DAY = 24 * 60 * 60

Drive = Callable[[Coroutine[Any, Any, Any]], Any]


def payload(version: bytes, size: int = 100) -> bytes:
    return Header.new(version, 1, 2, 3, 4).pack(b"kid.").ljust(size, b".")


@pytest.fixture(params=[run_sync, asyncio.run], ids=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Run a coroutine in either colour."""
    driven: Drive = request.param
    return driven


@pytest.fixture
def server() -> Iterator[MemcachedServer]:
    """A server of the test's own, to be hung and ended."""
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def client(memcached_server: MemcachedServer) -> Iterator[Client]:
    client = Client(memcached_server.location, default_noreply=False, timeout=1)
    client.flush_all()
    yield client
    client.close()


def store_at(*locations: str, **options: Any) -> MemcachedStore:
    return MemcachedStore(StoreOptions(location=locations, **options))


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
        {"max_item_size": "8m"},
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


# Versions.


def test_each_operation_is_one_command(drive: Drive, store: MemcachedStore, memcached_server: MemcachedServer) -> None:
    with Proxy(memcached_server) as proxy:
        counted = store_at(proxy.location)

        async def requests(operation: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
            proxy.reset()
            result = await operation
            return result, proxy.requests

        async def scenario() -> None:
            await store.delete_many([KEY, OTHER])
            assert await requests(counted.insert(KEY, payload(V1), 60, V1)) == (V1, 1)
            record, count = await requests(counted.read(KEY))
            assert count == 1
            assert await requests(counted.replace(KEY, payload(V2), 60, record.version, V2)) == (
                V2,
                1,
            )
            assert await requests(counted.exists([KEY, OTHER])) == ({KEY}, 1)
            # Without memcached's own token it is asked for first.
            assert await requests(counted.replace(KEY, payload(V3), 60, V2, V3)) == (V3, 2)
            assert await requests(counted.delete(KEY)) == (True, 1)

        drive(scenario())
        counted.close()


def test_version_without_a_token_is_compared(drive: Drive, store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        assert await store.replace(KEY, payload(V3), 60, V2, V3) is None
        assert not await store.delete(KEY, V2)
        assert await store.replace(KEY, payload(V2), 60, V1, V2) == V2
        assert await store.delete(KEY, V2)
        assert await store.read(KEY) is None
        assert await store.insert(KEY, payload(V1), 60, V1) == V1

    drive(scenario())


def test_delete_at_a_version_loses_against_a_later_write(drive: Drive, store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        loaded = await store.read(KEY)
        assert loaded
        assert await store.replace(KEY, payload(V2), 60, loaded.version, V2)
        assert not await store.delete(KEY, loaded.version)
        current = await store.read(KEY)
        assert current
        assert current.payload == payload(V2)
        assert await store.delete(KEY, current.version)
        assert await store.exists([KEY]) == set()
        assert not await store.delete(KEY, current.version)

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
    ],
)
def test_lifetime_is_sent_as_memcached_takes_it(ttl: int, now: float, sent: int) -> None:
    assert expiry(ttl, now) == sent


@pytest.mark.parametrize("ttl", [30 * DAY, 30 * DAY + 1, 365 * DAY, 10**10])
def test_long_lifetime_is_not_expired_at_once(drive: Drive, store: MemcachedStore, client: Client, ttl: int) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), ttl, V1)
        assert await store.replace(KEY, payload(V2), ttl, V1, V2)
        assert await store.read(KEY)

    drive(scenario())
    left = int(client.raw_command(f"mg dms:{KEY} t")[4:])
    assert min(ttl, 2**31 - int(time.time())) - left < 3


# Size.


def test_payload_over_the_limit_leaves_the_old_one(drive: Drive, store: MemcachedStore, client: Client) -> None:
    async def scenario() -> None:
        largest = store.max_payload
        assert await store.insert(KEY, payload(V1, largest), 60, V1)
        with pytest.raises(SessionTooLarge, match=f"{largest + 1} bytes"):
            await store.replace(KEY, payload(V2, largest + 1), 60, V1, V2)
        record = await store.read(KEY)
        assert record
        assert record.payload == payload(V1, largest)
        with pytest.raises(SessionTooLarge):
            await store.insert(OTHER, payload(V2, largest + 1), 60, V2)
        assert await store.read(OTHER) is None

    drive(scenario())


def test_server_with_a_lower_limit_leaves_the_old_one(drive: Drive) -> None:
    with MemcachedServer("-I", "8k", "-o", "slab_chunk_max=4096") as server:
        store = store_at(server.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            for size in (9000, 900_000):
                with pytest.raises(SessionTooLarge, match="max_item_size"):
                    await store.replace(KEY, payload(V2, size), 60, V1, V2)
                assert await store.exists([KEY]) == {KEY}
            assert await store.replace(KEY, payload(V2, 4000), 60, V1, V2)

        drive(scenario())
        store.close()


def test_server_with_a_higher_limit_is_used_when_told(drive: Drive) -> None:
    with MemcachedServer("-I", "2m") as server:
        store = store_at(server.location, options={"max_item_size": 2 * 1024 * 1024})
        assert drive(store.insert(KEY, payload(V1, store.max_payload), 60, V1))
        store.close()


# Nodes.


@pytest.fixture
def nodes() -> Iterator[list[MemcachedServer]]:
    with MemcachedServer() as one, MemcachedServer() as two, MemcachedServer() as three:
        yield [one, two, three]


def test_rendezvous_spreads_keys_evenly_and_moves_few() -> None:
    names = [(name.encode(), name) for name in ("a:1", "b:1", "c:1", "d:1")]
    keys = [f"{number:040}".encode() for number in range(4000)]
    before = [choose(names[:3], key) for key in keys]
    after = [choose(names, key) for key in keys]
    assert all(1200 < count < 1470 for count in Counter(before).values())
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {"d:1"}
    assert before == [choose(names[2::-1], key) for key in keys]


def test_rendezvous_is_the_same_for_ever() -> None:
    names = [(name.encode(), name) for name in ("a:11211", "b:11211", "c:11211")]
    keys = [f"{number:040}".encode() for number in range(8)]
    # Another result would log out everybody who runs several nodes.
    assert "".join(choose(names, key)[0] for key in keys) == "cbcbbaab"


def test_dead_node_keeps_its_keys(drive: Drive, nodes: list[MemcachedServer]) -> None:
    store = store_at(*(node.location for node in nodes))
    keys = [f"{number:040}" for number in range(30)]

    async def scenario() -> None:
        for key in keys:
            await store.insert(key, payload(V1), 60, V1)
        assert await store.exists(keys) == set(keys)
        dead = nodes[1]
        dead.kill()
        lost = [key for key in keys if store.node(key).name == dead.location]
        rest = [key for key in keys if key not in lost]
        assert lost
        for key in lost:
            with pytest.raises(StoreUnavailable, match=dead.location):
                await store.read(key)
        for key in rest:
            assert await store.read(key)
        with pytest.raises(StoreUnavailable):
            await store.exists(keys)
        with pytest.raises(StoreUnavailable):
            await store.delete_many(keys)
        assert await store.exists(rest) == set()
        found = await store.inspect()
        assert [dead.location in problem for problem in found.problems] == [True]

    drive(scenario())
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


def test_inspection_tells_of_evictions() -> None:
    with MemcachedServer("-m", "2") as server:
        store = store_at(server.location)
        for number in range(40):
            run_sync(store.insert(f"{number:040}", payload(V1, 200_000), 60, V1))
        assert "evicted" in run_sync(store.inspect()).problems[0]
        store.close()


# Outages.


def test_hung_server_costs_one_timeout_and_then_nothing(drive: Drive, server: MemcachedServer) -> None:
    store = store_at(server.location, timeout=1.0)

    async def scenario() -> None:
        assert await store.read(KEY) is None
        with server.paused():
            started = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                await store.read(KEY)
            assert 0.45 < time.monotonic() - started < 1.0
            assert not caught.value.retryable
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.read(KEY)
            assert time.monotonic() - started < 0.1
        deadline = time.monotonic() + 1.5
        while True:
            try:
                assert await store.read(KEY) is None
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline
                time.sleep(0.05)  # noqa: ASYNC251  # nothing else runs, in either colour

    drive(scenario())
    store.close()


def test_hung_server_holds_nobody_in_the_queue_for_a_thread(server: MemcachedServer) -> None:
    store = store_at(server.location, timeout=0.4)

    async def scenario() -> float:
        with server.paused():
            started = time.monotonic()
            outcomes = await asyncio.gather(*(store.read(KEY) for _ in range(200)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            return time.monotonic() - started

    assert asyncio.run(scenario()) < 1.0
    store.close()


def test_restarted_server_breaks_one_call_that_may_be_repeated(drive: Drive, server: MemcachedServer) -> None:
    store = store_at(server.location)

    async def scenario() -> None:
        assert await store.read(KEY) is None
        server.restart()
        with pytest.raises(StoreUnavailable) as caught:
            await store.read(KEY)
        assert caught.value.retryable
        assert await store.read(KEY) is None

    drive(scenario())
    store.close()


def test_absent_server_is_an_outage(drive: Drive) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        drive(store_at(f"127.0.0.1:{free_port()}").read(KEY))
    assert caught.value.retryable


# Whose connection it is.


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_event_loops_leave_nothing_behind(store: MemcachedStore) -> None:
    run_sync(store.read(KEY))
    before = open_files(), threading.active_count()
    for _ in range(200):
        asyncio.run(store.read(KEY))
    assert (open_files(), threading.active_count()) == before


def test_event_loop_goes_on_while_a_server_is_slow(server: MemcachedServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)
        proxy.delay(0.2)

        async def scenario() -> int:
            reading = asyncio.ensure_future(store.read(KEY))
            turns = 0
            while not reading.done():
                await asyncio.sleep(0.01)
                turns += 1
            return turns

        assert asyncio.run(scenario()) > 5
        store.close()


def test_cancelled_task_leaves_no_half_answer(server: MemcachedServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            await store.insert(OTHER, payload(V2), 60, V2)
            for number in range(40):
                proxy.delay(0.01)
                tasks = [asyncio.ensure_future(store.read(KEY)) for _ in range(2)]
                await asyncio.sleep(number / 2000)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                proxy.delay(0)
                records = await asyncio.gather(*(store.read(OTHER) for _ in range(4)))
                assert {record and record.payload for record in records} == {payload(V2)}

        asyncio.run(scenario())
        store.close()


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
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222  # driven without a loop
        assert await store.read(KEY)

    run_sync(scenario())
