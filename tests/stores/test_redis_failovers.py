"""The redis store when a master of a Redis Cluster or behind sentinels is lost, and when slots move, under load.

Each prints what that cost: ``python -m pytest tests/stores/test_redis_failovers.py -q``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import pytest

from django_multisession.bridge import pause, run_sync
from django_multisession.deadline import Operation
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.redis.store import RedisStore
from django_multisession.stores.redis.topology import slot_of
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer
from django_multisession.testing.servers.redis_cluster import (
    NewestRedisNode,
    RedisCluster,
    RedisNode,
    ValkeyCluster,
)
from django_multisession.testing.servers.redis_sentinel import SERVICE, RedisSentinel, ReplicaServer
from tests.stores.helpers import PATIENCE, V1, V2, Drive, payload
from tests.stores.redis_groups import KEYS, open_slot, store_at
from tests.timing import late

TIMEOUT = 1.0  # seconds, the default
THINKING = 0.01  # seconds between two visits of a visitor: twice as many cost twice the processor, and meet no more
LOSSES = [
    pytest.param(RedisServer.kill, id="killed"),
    pytest.param(RedisServer.pause, id="hung", marks=pytest.mark.nightly),
]


@pytest.fixture
def sentinel() -> Iterator[RedisSentinel]:
    with RedisSentinel(down_after=0.5) as sentinel:
        yield sentinel


class Load:
    """Visitors who swap the records under KEYS all the time, each the number in it for the next."""

    def __init__(self, location: str, colour: str) -> None:
        self.store = store_at(location, timeout=TIMEOUT)
        self.acknowledged = dict.fromkeys(KEYS, 0)
        self.lengths: list[float] = []
        self.logged_out: set[str] = set()
        self.failed_at = 0.0
        self._stop = threading.Event()
        self._colour = colour

    def lose(self, kill: Callable[[], None]) -> float:
        """Lose a master under load; return the seconds until the last failure after it."""
        run_sync(self._prepare())
        shares = [KEYS[start::6] for start in range(6)]
        if self._colour == "sync":
            threads = [threading.Thread(target=self._block, args=(share,)) for share in shares]
        else:
            threads = [threading.Thread(target=lambda: asyncio.run(self._gather(shares)))]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        killed_at = self.failed_at = time.monotonic()
        kill()
        while time.monotonic() - self.failed_at < 3 and time.monotonic() - killed_at < 25:
            time.sleep(0.1)
        self._stop.set()
        for thread in threads:
            thread.join()
        assert sum(self.acknowledged.values()) > 100
        return self.failed_at - killed_at

    def lost(self) -> dict[str, int]:
        """Return how many acknowledged swaps of each key are not there."""
        self.store.close()  # this thread's connections are as old as the test
        stored = {key: run_sync(self.store.read(key)) for key in KEYS}
        numbers = {key: -1 if record is None else int(record.payload[30:]) for key, record in stored.items()}
        self.store.close()
        return {key: count - numbers[key] for key, count in self.acknowledged.items() if numbers[key] < count}

    def figures(self, what: str, seconds: float) -> str:
        """Return a line of what the loss of a master cost."""
        return (
            f"\n{what}: back after {seconds:.1f} s, {len(self.lengths)} calls, the longest {max(self.lengths):.2f} s, "
            f"{len(self.logged_out)} logged out, {sum(self.lost().values())} swaps not replicated\n"
        )

    def check(self) -> None:
        """Hold what is promised of the loss of a master."""
        assert not self.logged_out
        assert max(self.lengths) < late(TIMEOUT)
        # What replication had not carried: a swap or two of a key, but nobody's session.
        assert all(number <= 2 for number in self.lost().values())

    async def _prepare(self) -> None:
        await self.store.delete_many(KEYS)
        for key in KEYS:
            assert await self.store.insert(key, payload(V1, b"0"), 600, V1)

    def _block(self, keys: list[str]) -> None:
        for key in itertools.cycle(keys):
            run_sync(self._visit(key))
            if self._stop.wait(THINKING):
                return

    async def _gather(self, shares: list[list[str]]) -> None:
        async def visitor(keys: list[str]) -> None:
            for key in itertools.cycle(keys):
                await self._visit(key)
                await asyncio.sleep(THINKING)
                if self._stop.is_set():
                    return

        await asyncio.gather(*map(visitor, shares))

    async def _visit(self, key: str) -> None:
        started = time.monotonic()
        try:
            with Operation():
                try:
                    await self._swap(key)
                except StoreUnavailable as error:
                    if not error.retryable:
                        raise
                    await self._swap(key)
        except StoreUnavailable:
            self.failed_at = time.monotonic()
        self.lengths.append(time.monotonic() - started)

    async def _swap(self, key: str) -> None:
        record = await self.store.read(key)
        if record is None:
            self.logged_out.add(key)
            return
        number, version = int(record.payload[30:]) + 1, os.urandom(8)
        if await self.store.replace(key, payload(version, b"%d" % number), 600, record.token, version):
            self.acknowledged[key] = number


def move_key_by_key(cluster: RedisCluster, source: RedisNode, target: RedisNode, addresses: list[str]) -> None:
    for address in addresses:
        slot = slot_of(address)
        open_slot(slot, source, target)
        time.sleep(0.02)  # visitors who meet ASK, before and after their records go
        assert source.ask(f"MIGRATE {target.host} {target.port} {address} 0 5000\r\n".encode()) == b"+OK\r\n"
        time.sleep(0.02)
        for node in (target, source, cluster.nodes[2]):
            assert node.cluster(f"SETSLOT {slot} NODE {target.cluster('MYID')}") == "OK"


def move_at_once(cluster: RedisCluster, source: RedisNode, target: RedisNode, addresses: list[str]) -> None:
    """Have the servers move the slots by themselves: Redis 8.4 and its redis-cli 8.10, Valkey 9."""
    ranges = " ".join(f"{slot_of(address)} {slot_of(address)}" for address in addresses)
    if isinstance(cluster, ValkeyCluster):
        assert source.cluster(f"MIGRATESLOTS SLOTSRANGE {ranges} NODE {target.cluster('MYID')}") == "OK"
    else:
        assert "ERR" not in target.cluster(f"MIGRATION IMPORT {ranges}")
    cluster.wait_for(lambda: cluster.node_of(addresses[-1]) is target, "move its slots")


@pytest.mark.slow
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_slots_that_move_under_load_cost_nobody_anything(
    any_cluster: RedisCluster, colour: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = any_cluster.nodes[:2]
    addresses = [f"dms:{key}" for key in KEYS]
    moving = [address for address in addresses if any_cluster.node_of(address) is source]
    move = move_key_by_key if type(any_cluster) is RedisCluster else move_at_once
    load = Load(any_cluster.location, colour)
    seconds = load.lose(partial(move, any_cluster, source, target, moving))
    with capsys.disabled():
        sys.stdout.write(load.figures(f"{any_cluster.name}, {colour}, {len(moving)} slots moved", seconds))
    assert not seconds
    assert not load.lost()
    load.check()
    assert all(any_cluster.node_of(address) is target for address in moving)


@pytest.mark.slow
@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_cluster_whose_master_is_lost_is_back_by_itself(
    cluster: RedisCluster, colour: str, lose: Callable[[RedisServer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load(cluster.location, colour)
    seconds = load.lose(partial(lose, cluster.nodes[0]))
    with capsys.disabled():
        sys.stdout.write(load.figures(f"Redis Cluster, {colour}, {lose.__name__}", seconds))
    # The failover takes about twice the node timeout and a second; then less than 5 s.
    assert seconds < 2 * 0.5 + 1 + 5
    load.check()


@pytest.mark.slow
@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_sentinel_whose_master_is_lost_is_back_by_itself(
    sentinel: RedisSentinel, colour: str, lose: Callable[[RedisServer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load(sentinel.location, colour)
    seconds = load.lose(partial(lose, sentinel.master))
    with capsys.disabled():
        sys.stdout.write(load.figures(f"Redis Sentinel, {colour}, {lose.__name__}", seconds))
    # A failover that finds no majority at first is tried again after 2 s; then less than 5 s.
    assert seconds < 0.5 + 4 + 5
    load.check()


# A failover to a server that compares (SET … IFEQ), and back.


class NewestReplica(ReplicaServer, NewestRedisServer):
    name = "redis-newest-replica"


@pytest.fixture
def always_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server be asked again at once for what it lacked."""
    monkeypatch.setattr("django_multisession.stores.redis.commands.LACK_TTL", 0.0)


async def compares(store: RedisStore, key: str, server: RedisServer) -> bool:
    """Begin, change and end a session on a server; return whether that compares by itself."""
    server.ask(b"CONFIG RESETSTAT\r\n")
    token = await store.insert(key, payload(V1), 600, V1)
    assert token
    token = await store.replace(key, payload(V2), 600, token, V2)
    assert token
    assert await store.replace(key, payload(V1), 600, payload(V1), V1) is None
    assert not await store.delete(key, payload(V1))
    assert await store.delete(key, token)
    used = server.ask(b"INFO commandstats\r\n")
    assert (b"cmdstat_delex:" in used) != (b"cmdstat_evalsha:" in used)
    return b"cmdstat_delex:" in used


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if await condition():
                return
        except StoreUnavailable:
            assert time.monotonic() < deadline
        await pause(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("newest_redis_server", "always_tried")  # the first says where there is none
def test_cluster_that_fails_over_to_a_server_that_compares_and_back(drive: Drive) -> None:
    cluster = RedisCluster(node_timeout=0.5)
    cluster.nodes[3:] = [NewestRedisNode(0.5) for _ in range(3)]
    with cluster:
        older, other, *_ = cluster.nodes
        newer = cluster.nodes[3]
        key = next(key for key in KEYS if cluster.node_of(f"dms:{key}") is older)
        store = store_at(cluster.location)

        async def scenario() -> None:
            assert not await compares(store, key, older)
            older.kill()
            await until(lambda: is_read(store, key))
            assert cluster.node_of(f"dms:{key}") is newer
            assert await compares(store, key, newer)
            # Its slot moves to one that does not. Opened first, as redis-cli does: otherwise a ping under way may
            # take the slot back from the other, and each of the two sends on to the other for good.
            slot = slot_of(f"dms:{key}")
            open_slot(slot, newer, other)
            for node in (other, newer, cluster.nodes[2]):
                assert node.cluster(f"SETSLOT {slot} NODE {other.cluster('MYID')}") == "OK"
            assert not await compares(store, key, other)

        drive(scenario())
        store.close()


@pytest.mark.slow
@pytest.mark.usefixtures("newest_redis_server", "always_tried")
def test_sentinel_that_fails_over_to_a_server_that_compares_and_back(drive: Drive) -> None:
    sentinel = RedisSentinel(down_after=0.5)
    older = sentinel.servers[0]
    sentinel.servers[1:] = [NewestReplica(older) for _ in range(2)]
    with sentinel:
        store = store_at(sentinel.location)

        async def scenario() -> None:
            assert not await compares(store, KEYS[0], older)
            older.kill()
            await until(lambda: is_read(store, KEYS[0]))
            assert await compares(store, KEYS[0], sentinel.master)
            # It cannot load what a newer one has, so the sentinels are told of it: all forget first, or who still knows
            # the other tells the rest.
            sentinel.master.kill()
            older.restart()
            for command in (f"REMOVE {SERVICE}", f"MONITOR {SERVICE} {older.host} {older.port} 2"):
                for each in sentinel.sentinels:
                    assert each.ask(f"SENTINEL {command}\r\n".encode()) == b"+OK\r\n"
            older.ask(b"REPLICAOF NO ONE\r\n")
            await until(lambda: is_read(store, KEYS[0]))
            assert not await compares(store, KEYS[0], older)

        drive(scenario())
        store.close()


async def is_read(store: RedisStore, key: str) -> bool:
    await store.read(key)
    return True
