"""Redis Cluster and Redis Sentinel as the tests start them: whole at the start, and whole again after a failover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from django_multisession.testing.servers.group import ServerGroup
from django_multisession.testing.servers.redis_cluster import RedisCluster, ValkeyCluster
from django_multisession.testing.servers.redis_sentinel import SERVICE, RedisSentinel
from tests.conftest import serve

KINDS: list[type[ServerGroup[str]]] = [RedisCluster, ValkeyCluster, RedisSentinel]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def group(request: pytest.FixtureRequest) -> Iterator[ServerGroup[Any]]:
    # Of its own: these tests end members of it.
    yield from serve(request.param)


@pytest.fixture(scope="module", params=[RedisCluster, ValkeyCluster], ids=lambda kind: kind.name)
def cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    yield from serve(request.param)


@pytest.fixture(scope="module")
def sentinel() -> Iterator[RedisSentinel]:
    yield from serve(RedisSentinel)


def test_group_answers_and_names_its_members_in_its_location(group: ServerGroup[Any]) -> None:
    assert group.answers()
    assert group.version()[0].isdigit()
    scheme, _, rest = group.location.partition("://")
    assert scheme in ("redis+cluster", "redis+sentinel")
    ports = {int(host.rpartition(":")[2]) for host in rest.partition("/")[0].split(",")}
    assert ports <= {member.port for member in group.members}


def test_paused_group_does_not_answer_until_resumed(group: ServerGroup[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr("django_multisession.testing.servers.base.Server.read_timeout", 0.1)
        with group.paused(), pytest.raises(TimeoutError):
            group.answers()
    group.wait_until_it_answers()


def test_killed_group_comes_back_by_restart(group: ServerGroup[Any]) -> None:
    group.kill()
    with pytest.raises(ConnectionRefusedError):
        group.members[0].connect()
    group.restart()
    assert group.answers()


def test_cluster_replaces_a_killed_master_which_comes_back_as_a_replica(cluster: RedisCluster) -> None:
    with redis.RedisCluster(cluster.nodes[0].host, cluster.nodes[0].port) as client:
        client.set("k", "v")
        client.wait(1, 10_000, target_nodes=client.get_node_from_key("k"))
    master = cluster.node_of("k")
    assert master is not None
    assert master.ask(b"GET k\r\n") == b"$1\r\nv\r\n"
    master.kill()
    cluster.wait_for(lambda: cluster.node_of("k") is not None, "replace a master")
    successor = cluster.node_of("k")
    assert successor is not None
    assert successor.ask(b"GET k\r\n") == b"$1\r\nv\r\n"
    master.restart()
    cluster.wait_until_it_answers()
    assert b"role:slave" in master.ask(b"INFO replication\r\n")


def test_sentinels_replace_a_killed_master_which_comes_back_as_a_replica(sentinel: RedisSentinel) -> None:
    master = sentinel.master
    with redis.Redis.from_url(master.location) as client:
        client.set("k", "v")
        client.wait(2, 10_000)
    master.kill()
    sentinel.wait_for(lambda: sentinel.master is not master, "replace a master")
    assert sentinel.master.ask(b"GET k\r\n") == b"$1\r\nv\r\n"
    master.restart()
    sentinel.wait_until_it_answers()
    assert b"role:slave" in master.ask(b"INFO replication\r\n")
    hosts = [(member.host, member.port) for member in sentinel.sentinels]
    found = redis.Sentinel(hosts).discover_master(SERVICE)  # type: ignore[no-untyped-call]  # redis-py's gap
    assert found == (sentinel.master.host, sentinel.master.port)
