"""A ring of memcached nodes: which node has a key, and what becomes of the others when one is away."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from django_multisession.bridge import run_sync
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.memcached.rendezvous import choose
from django_multisession.stores.memcached.store import MemcachedStore
from django_multisession.testing.servers.memcached import MemcachedServer
from tests.stores.helpers import V1, Drive, payload
from tests.stores.memcached import store_at

KEYS = [f"{number:040}" for number in range(30)]


# Rendezvous hashing.


def test_rendezvous_spreads_keys_evenly() -> None:
    names = [(name.encode(), name) for name in ("a:1", "b:1", "c:1")]
    chosen = Counter(choose(names, f"{number:040}".encode()) for number in range(12_000))
    assert all(3800 < count < 4200 for count in chosen.values())


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 9])
def test_adding_a_node_moves_its_share_of_sessions_and_no_others(nodes: int) -> None:
    total = 12_000
    names = [(f"node{number}:1".encode(), number) for number in range(nodes + 1)]
    keys = [f"{number:040}".encode() for number in range(total)]
    moved = [
        after for before, after in ((choose(names[:-1], key), choose(names, key)) for key in keys) if before != after
    ]
    assert set(moved) == {nodes}  # to the new node alone
    share = total / (nodes + 1)  # the fewest that leave all nodes with as many sessions
    assert share * 0.94 < len(moved) < share * 1.06


def test_rendezvous_asks_not_for_the_order_of_nodes() -> None:
    names = [(name.encode(), name) for name in ("a:1", "b:1", "c:1")]
    keys = [f"{number:040}".encode() for number in range(1000)]
    assert [choose(names, key) for key in keys] == [choose(names[::-1], key) for key in keys]


def test_rendezvous_is_the_same_for_ever() -> None:
    names = [(name.encode(), name) for name in ("a:11211", "b:11211", "c:11211")]
    keys = [f"{number:040}".encode() for number in range(8)]
    # Another result would log out everybody who runs several nodes.
    assert "".join(choose(names, key)[0] for key in keys) == "cbcbbaab"


# Three nodes, one of which is killed, hung, restarted.


@pytest.fixture
def nodes() -> Iterator[list[MemcachedServer]]:
    with MemcachedServer() as one, MemcachedServer() as two, MemcachedServer() as three:
        yield [one, two, three]


@pytest.fixture
def ring(nodes: list[MemcachedServer]) -> Iterator[MemcachedStore]:
    """A store over the three nodes, which hold a record under each of KEYS."""
    store = store_at(*(node.location for node in nodes))
    for key in KEYS:
        run_sync(store.insert(key, payload(V1), 60, V1))
    yield store
    store.close()


def split(ring: MemcachedStore, node: MemcachedServer) -> tuple[list[str], list[str]]:
    """Return those of KEYS that a node holds, and the others."""
    its = [key for key in KEYS if ring.node(key).name == node.location]
    assert its
    return its, [key for key in KEYS if key not in its]


async def back(ring: MemcachedStore, key: str) -> None:
    deadline = time.monotonic() + 2
    while True:
        try:
            await ring.read(key)
            return
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # noqa: ASYNC251 - nothing else runs, in either colour


async def check_outage(ring: MemcachedStore, lost: list[str], rest: list[str], name: str) -> None:
    """See that sessions of one node are unavailable, neither gone nor on another, and all others live."""
    for key in lost:
        with pytest.raises(StoreUnavailable, match=name):
            await ring.read(key)
        with pytest.raises(StoreUnavailable, match=name):
            await ring.insert(key, payload(V1), 60, V1)
    for key in rest:
        assert await ring.read(key)
    assert [node.name for node in ring._nodes if node.breaker.is_open] == [name]


def test_killed_node_takes_its_sessions_and_no_others(
    drive: Drive, nodes: list[MemcachedServer], ring: MemcachedStore
) -> None:
    lost, rest = split(ring, nodes[1])

    async def scenario() -> None:
        nodes[1].kill()
        await check_outage(ring, lost, rest, nodes[1].location)
        with pytest.raises(StoreUnavailable):
            await ring.exists(KEYS)
        assert await ring.exists(rest) == set(rest)
        found = await ring.inspect()
        assert [nodes[1].location in problem for problem in found.problems] == [True]
        assert "3 nodes, 2 of which answer" in found.notes[0]
        with pytest.raises(StoreUnavailable):
            await ring.delete_many(KEYS)
        assert await ring.exists(rest) == set()

    drive(scenario())


def test_restarted_node_comes_back_empty_and_takes_sessions_again(
    drive: Drive, nodes: list[MemcachedServer], ring: MemcachedStore
) -> None:
    lost, rest = split(ring, nodes[1])

    async def scenario() -> None:
        nodes[1].kill()
        await check_outage(ring, lost, rest, nodes[1].location)
        nodes[1].restart()
        await back(ring, lost[0])
        assert await ring.exists(KEYS) == set(rest)  # its own are logged out
        assert await ring.insert(lost[0], payload(V1), 60, V1)
        assert await ring.read(lost[0])
        notes = (await ring.inspect()).notes
        assert any(nodes[1].location in note and "logged out" in note for note in notes)

    drive(scenario())


def test_hung_node_keeps_its_sessions_for_when_it_goes_on(
    drive: Drive, nodes: list[MemcachedServer], ring: MemcachedStore
) -> None:
    lost, rest = split(ring, nodes[1])

    async def scenario() -> None:
        with nodes[1].paused():
            await check_outage(ring, lost, rest, nodes[1].location)
        await back(ring, lost[0])
        assert await ring.exists(KEYS) == set(KEYS)

    drive(scenario())


def test_hung_node_takes_no_threads_from_the_others(nodes: list[MemcachedServer], ring: MemcachedStore) -> None:
    lost, rest = split(ring, nodes[1])

    async def scenario() -> None:
        with nodes[1].paused():
            waiting = [asyncio.ensure_future(ring.read(lost[0])) for _ in range(100)]
            await asyncio.sleep(0.05)  # its threads are all busy now
            assert all([await ring.read(key) for key in rest])
            assert not any(task.done() for task in waiting)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)

    asyncio.run(scenario())
