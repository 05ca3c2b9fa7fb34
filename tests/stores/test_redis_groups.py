"""The redis store on a Redis Cluster and behind sentinels: what happens when a node is lost, or a slot moves."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import re
import sys
import threading
import time
from io import StringIO
from typing import Any

import psutil
import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from redis.asyncio import Redis as AsyncRedis

from django_multisession import runtime
from django_multisession.bridge import iterate, run_sync
from django_multisession.deadline import Operation
from django_multisession.envelope import ENDED
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import Insertion
from django_multisession.stores.redis.connections import pack
from django_multisession.stores.redis.failures import Command, failure
from django_multisession.stores.redis.sentinel import Sentinels
from django_multisession.stores.redis.store import RedisStore
from django_multisession.stores.redis.topology import slot_of
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer, is_master
from django_multisession.testing.servers.redis_cluster import RedisCluster, RedisNode
from django_multisession.testing.servers.redis_sentinel import RedisSentinel
from django_multisession.testing.stores import make_payload
from tests.stores.helpers import V1, V2, V3, Drive, payload
from tests.stores.redis_groups import KEYS, open_slot, store_at
from tests.timing import late


@pytest.fixture(autouse=True)
def closed_breakers() -> None:
    runtime.reset(runtime.Event.TEST)


async def fill(store: RedisStore) -> dict[str, bytes]:
    tokens = {}
    await store.delete_many(KEYS)
    for key in KEYS:
        token = await store.insert(key, payload(V1), 600, V1)
        assert token
        tokens[key] = token
    return tokens


# Settings.


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("redis+cluster://user:secret@a:7000,b/", "redis+cluster://a:7000,b:6379/"),
        ("rediss+cluster://:secret@[::1]:7000", "rediss+cluster://[::1]:7000/"),
        ("redis+sentinel://:secret@a,b:5/main", "redis+sentinel://a:26379,b:5/main/0"),
        ("rediss+sentinel://a/main/3?password=secret", "rediss+sentinel://a:26379/main/3"),
    ],
)
def test_name_leaves_the_password_out(location: str, name: str) -> None:
    assert store_at(location).name == name


@pytest.mark.parametrize(
    "location",
    [
        "redis+cluster://",
        "redis+cluster://user:secret@a,,b/",
        "redis+cluster://user:secret@a/1",
        "redis+cluster://user:secret@a:port/",
        "redis+sentinel://user:secret@a",
        "redis+sentinel://user:secret@a/main/x",
        "redis+memory://user:secret@a/",
        "redis://user:secret@a,b/0",
    ],
)
def test_wrong_location_is_refused_without_its_password(location: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"MULTISESSION: .*LOCATION") as caught:
        store_at(location)
    assert "secret" not in str(caught.value)


def test_node_of_a_cluster_as_location_is_a_wrong_setting(drive: Drive, redis_cluster_server: RedisCluster) -> None:
    node = redis_cluster_server.nodes[0]
    elsewhere = next(key for key in KEYS if redis_cluster_server.node_of(f"dms:{key}") is not node)
    store = store_at(f"redis://{node.host}:{node.port}/0")
    with pytest.raises(ImproperlyConfigured, match=r"redis\+cluster://"):
        drive(store.read(elsewhere))
    with pytest.raises(ImproperlyConfigured, match=r"redis\+cluster://"):
        drive(store.inspect())
    with pytest.raises(ImproperlyConfigured, match=r"redis\+cluster://"):
        drive(store_at(f"redis://{node.host}:{node.port}/1").read(KEYS[0]))
    store.close()


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [["check", "--database", "default"], ["checksessions"]])
def test_commands_find_a_node_of_a_cluster_as_location(
    redis_cluster_server: RedisCluster, settings: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    node = redis_cluster_server.nodes[0]
    settings.SESSION_ENGINE = "django_multisession.engines.redis"
    settings.MULTISESSION = {"default": {"LOCATION": f"redis://{node.host}:{node.port}/0"}}
    monkeypatch.setattr(sys, "argv", ["manage.py", *arguments])
    output = StringIO()
    with pytest.raises((SystemCheckError, CommandError)) as caught:
        call_command(*arguments, stdout=output)
    assert "redis+cluster://" in f"{caught.value}{output.getvalue()}"
    assert "works" not in output.getvalue()


def test_port_of_a_sentinel_as_location_is_a_wrong_setting(drive: Drive, redis_sentinel_server: RedisSentinel) -> None:
    sentinel = redis_sentinel_server.sentinels[0]
    store = store_at(f"redis://{sentinel.host}:{sentinel.port}/0")
    with pytest.raises(ImproperlyConfigured, match=r"redis\+sentinel://"):
        drive(store.read(KEYS[0]))
    store.close()


def test_single_server_as_cluster_is_a_wrong_setting(drive: Drive, redis_server: RedisServer) -> None:
    with pytest.raises(ImproperlyConfigured, match="no Redis Cluster"):
        drive(store_at(f"redis+cluster://{redis_server.host}:{redis_server.port}/").read(KEYS[0]))


def test_credentials_of_the_location_are_the_nodes(drive: Drive) -> None:
    with RedisCluster() as cluster:
        for node in cluster.nodes:
            node.ask(b"CONFIG SET masterauth right\r\n")
            node.ask(b"CONFIG SET requirepass right\r\n")
        for password, is_right in (("right", True), ("secret", False)):
            store = store_at(cluster.location.replace("://", f"://:{password}@"))
            if is_right:
                assert drive(store.read(KEYS[0])) is None
            else:
                with pytest.raises(ImproperlyConfigured, match="WRONGPASS"):
                    drive(store.read(KEYS[0]))
            store.close()


def test_login_of_the_sentinels_is_their_own(drive: Drive) -> None:
    with RedisSentinel() as sentinel:
        for each in sentinel.sentinels:
            assert each.ask(b"ACL SETUSER default resetpass >right\r\n") == b"+OK\r\n"
        store = store_at(sentinel.location, sentinel_kwargs={"password": "right"})
        assert drive(store.read(KEYS[0])) is None
        store.close()
        for location, password in ((sentinel.location, "secret"), (sentinel.location + "x", "right")):
            store = store_at(location, sentinel_kwargs={"password": password})
            with pytest.raises(StoreUnavailable, match="no sentinel names a master") as caught:
                drive(store.read(KEYS[0]))
            assert "secret" not in str(caught.value)
            store.close()


# What it is made of.


def test_inspection_describes_a_cluster(drive: Drive, redis_cluster_server: RedisCluster) -> None:
    store = store_at(redis_cluster_server.location)
    found = drive(store.inspect())
    [note] = found.notes
    assert note.startswith("Redis Cluster: 3 masters, 3 replicas: ")
    assert f"{redis_cluster_server.nodes[0].port} (1 replica)" in note
    assert not any("LOCATION" in problem or "Add one" in problem for problem in found.problems)
    assert sum("min-replicas-to-write" in problem for problem in found.problems) == 1
    store.close()


def test_inspection_of_a_cluster_without_data_finds_its_replicas(drive: Drive, cluster: RedisCluster) -> None:
    store = store_at(cluster.location)
    found = drive(store.inspect())
    assert "3 masters, 3 replicas" in found.notes[0]
    assert not any("has no replica" in problem for problem in found.problems)
    cluster.nodes[3].kill()
    while b"connected_slaves:0" not in cluster.nodes[0].ask(b"INFO replication\r\n"):
        time.sleep(0.01)
    found = drive(store.inspect())
    assert f"{cluster.nodes[0].port} (no replicas)" in found.notes[0]
    assert [problem for problem in found.problems if f"{cluster.nodes[0].port} has no replica" in problem]
    store.close()


def test_inspection_describes_what_sentinels_watch(drive: Drive, redis_sentinel_server: RedisSentinel) -> None:
    store = store_at(redis_sentinel_server.location)
    found = drive(store.inspect())
    assert found.notes == ("Redis Sentinel: a master with 2 replicas, 3 sentinels in LOCATION.",)
    assert any("min-replicas-to-write" in problem for problem in found.problems)
    store.close()


# A slot that moves.


def test_sentinel_that_trickles_is_bounded_as_a_whole(drive: Drive, redis_sentinel_server: RedisSentinel) -> None:
    with Proxy[Any](redis_sentinel_server.sentinels[0]) as proxy:
        proxy.trickle(0.2)
        store = store_at(proxy.location, timeout=1.0)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            drive(store.read("ab" * 20))
        assert time.monotonic() - started < late(1.0)
        assert store.breaker.is_open
        store.close()


def test_slot_that_moves_costs_nobody_anything(drive: Drive, cluster: RedisCluster) -> None:
    source, target = cluster.nodes[0], cluster.nodes[1]
    key = next(key for key in KEYS if cluster.node_of(f"dms:{key}") is source)
    slot = slot_of(f"dms:{key}")
    store = store_at(cluster.location)
    stop = threading.Event()
    failures: list[BaseException] = []

    def beside() -> None:
        other = store_at(cluster.location)
        while not stop.is_set():
            try:
                assert run_sync(other.read(key)) is not None
            except BaseException as error:  # noqa: BLE001 - the test shows it
                failures.append(error)
        other.close()

    async def scenario() -> None:
        token = await store.insert(key, payload(V1), 600, V1)
        reader = threading.Thread(target=beside)
        reader.start()
        try:
            open_slot(slot, source, target)
            token = await store.replace(key, payload(V2), 600, token or b"", V2)
            assert token
            source.ask(f"MIGRATE {target.host} {target.port} dms:{key} 0 5000\r\n".encode())
            record = await store.read(key)  # ASK
            assert record is not None
            token = await store.replace(key, payload(V1), 600, record.token, V1)
            assert token
            assert await store.exists(KEYS) == {key}
            for node in (target, source, *cluster.nodes[2:3]):
                node.cluster(f"SETSLOT {slot} NODE {target.cluster('MYID')}")
            record = await store.read(key)  # MOVED
            assert record is not None
            assert await store.replace(key, payload(V2), 600, record.token, V2)
        finally:
            stop.set()
            reader.join()
        assert await store.delete_many(KEYS) == 1

    drive(scenario())
    assert not failures
    store.close()


def test_no_command_of_a_store_can_be_answered_by_tryagain(
    drive: Drive, any_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRYAGAIN is for a command of several keys, some of which have moved already: there is none."""
    source, target = any_cluster.nodes[:2]
    keys = keys_of_one_slot(source, any_cluster)
    slot = slot_of(f"dms:{keys[0]}")
    sent: list[Command] = []

    def recorded(command: Command) -> bytes:
        sent.append(command)
        return pack(command)

    monkeypatch.setattr("django_multisession.stores.redis.connections.pack", recorded)
    store = store_at(any_cluster.location, wait=1)

    async def scenario() -> None:
        tokens = [await store.insert(key, payload(V1), 600, V1) for key in keys]
        open_slot(slot, source, target)
        for key in keys[::2]:
            source.ask(f"MIGRATE {target.host} {target.port} dms:{key} 0 5000\r\n".encode())
        # What others would be told.
        assert source.ask(f"EXISTS dms:{keys[0]} dms:{keys[1]}\r\n".encode()).startswith(b"-TRYAGAIN")
        for node in (source, target):
            node.ask(b"CONFIG RESETSTAT\r\n")
        sent.clear()

        assert await store.exists(keys) == set(keys)
        for key, token in zip(keys, tokens, strict=True):
            record = await store.read(key)
            assert record is not None
            assert record.token == token
            assert token
            replaced = await store.replace(key, payload(V2), 600, token, V2)
            assert replaced
            assert await store.delete(key, replaced)
            assert await store.read(key) is None
        made = await store.insert_many([Insertion(key, payload(V1), 600, V1) for key in keys])
        assert all(made)
        large = payload(V2, size=100_000)  # by script on each server
        assert made[0]
        token = await store.replace(keys[0], large, 600, made[0], V2)
        assert token
        assert await store.replace(keys[0], payload(V3), 600, token, V3)
        ended, _ = make_payload(flags=ENDED)
        await store.end(keys[1], ended, 600)
        assert {key async for key in store.scan()} == {keys[0], *keys[2:]}
        assert await store.delete_many(keys) == len(keys)

    drive(scenario())
    monkeypatch.undo()
    told = [node.ask(b"INFO errorstats\r\n") for node in (source, target)]
    assert any(b"errorstat_ASK:" in each for each in told)
    assert not any(b"TRYAGAIN" in each for each in told)
    with redis.Redis(host=source.host, port=source.port) as client:
        assert {command[0] for command in sent} >= {"GET", "GETRANGE", "SET", "DEL", "EVALSHA", "WAIT", "SCAN"}
        assert max(number_of_keys(client, command) for command in sent) == 1
    store.close()


def keys_of_one_slot(node: RedisNode, cluster: RedisCluster) -> list[str]:
    first = next(key for key in KEYS if cluster.node_of(f"dms:{key}") is node)
    others = (key for key in (f"{number:040x}" for number in itertools.count(len(KEYS))))
    same = (key for key in others if slot_of(f"dms:{key}") == slot_of(f"dms:{first}"))
    return [first, *itertools.islice(same, 3)]


def number_of_keys(client: redis.Redis, command: Command) -> int:
    """Return how many keys the server finds in a command."""
    try:
        keys: Any = client.execute_command("COMMAND GETKEYS", *command)  # type: ignore[no-untyped-call]  # redis-py's gap
    except redis.ResponseError:
        return 0
    return len(keys)


# Nodes.


@pytest.mark.slow
def test_other_nodes_serve_while_one_hangs(drive: Drive, redis_cluster_server: RedisCluster) -> None:
    cluster = redis_cluster_server
    for node in cluster.nodes:  # or all refuse once they have noticed
        node.ask(b"CONFIG SET cluster-require-full-coverage no\r\n")
        node.ask(b"CONFIG SET cluster-node-timeout 60000\r\n")
    hung = cluster.nodes[0]
    store = store_at(cluster.location, timeout=0.6)
    there = [key for key in KEYS if cluster.node_of(f"dms:{key}") is hung]
    others = [key for key in KEYS if key not in there]

    async def scenario() -> None:
        await fill(store)
        with hung.paused():
            for key in there[:2]:
                with pytest.raises(StoreUnavailable):
                    await store.read(key)
            for key in others:
                assert await store.read(key)

    drive(scenario())
    for node in cluster.nodes:
        node.ask(b"CONFIG SET cluster-node-timeout 1000\r\n")
    cluster.wait_until_it_answers()
    store.close()


def test_write_waits_for_the_replicas_of_its_own_node(
    drive: Drive, cluster: RedisCluster, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(cluster.location, wait=1, timeout=2.0)

    async def scenario() -> None:
        for key in KEYS[:10]:
            token = await store.insert(key, payload(V1), 600, V1)
            assert token
            assert await store.delete(key, token)
        assert not caplog.records
        for node in cluster.nodes[3:]:
            node.pause()
        assert await store.insert(KEYS[0], payload(V1), 600, V1)
        assert "had it in time" in caplog.text

    try:
        drive(scenario())
    finally:
        for node in cluster.nodes[3:]:
            node.resume()
    store.close()


def test_lost_reply_of_a_node_repeats_nothing(drive: Drive, redis_cluster_server: RedisCluster) -> None:
    """Whoever asked reads once more, as on a single server, and finds what was written."""
    key = KEYS[0]
    node = redis_cluster_server.node_of(f"dms:{key}")
    assert node
    with Proxy[Any](node) as proxy:
        direct = (node.host, node.port)
        store = store_at(
            redis_cluster_server.location,
            address_remap=lambda address: ("127.0.0.1", proxy.port) if address == direct else address,
        )

        async def scenario() -> None:
            await store.delete_many([key])
            token = await store.insert(key, payload(V1), 600, V1)
            assert token
            token = await store.replace(key, payload(V2), 600, token, V2)  # by what the server knows, from now on
            assert token
            node.ask(b"CONFIG RESETSTAT\r\n")
            cut = proxy.cut_reply(f"dms:{key}".encode())
            with Operation(), pytest.raises(StoreUnavailable) as lost:
                await store.replace(key, payload(V3), 600, token, V3)
            assert cut.is_set()
            assert lost.value.retryable
            record = await store.read(key)
            assert record
            assert record.payload == payload(V3)
            assert b"cmdstat_set:calls=1," in node.ask(b"INFO commandstats\r\n")

        drive(scenario())
        store.close()


def test_scan_and_many_keys_go_over_all_nodes(drive: Drive, redis_cluster_server: RedisCluster) -> None:
    store = store_at(redis_cluster_server.location)
    with redis.RedisCluster(host=redis_cluster_server.nodes[0].host, port=redis_cluster_server.nodes[0].port) as client:
        client.flushall()

    async def scenario() -> None:
        await fill(store)
        assert {key async for key in store.scan()} == set(KEYS)
        assert await store.exists(KEYS) == set(KEYS)
        assert await store.delete_many(KEYS) == len(KEYS)

    drive(scenario())
    store.close()


@pytest.mark.parametrize("server", ["redis_cluster_server", "redis_sentinel_server"])
def test_replica_is_never_asked(drive: Drive, request: pytest.FixtureRequest, server: str) -> None:
    running = request.getfixturevalue(server)
    members = running.nodes if isinstance(running, RedisCluster) else running.servers
    for member in members:
        member.ask(b"CONFIG RESETSTAT\r\n")
    store = store_at(running.location)

    async def scenario() -> None:
        for key, token in (await fill(store)).items():
            assert await store.read(key)
            assert await store.exists([key])
            assert await store.delete(key, token)

    drive(scenario())
    store.close()
    for member in members:
        used = member.ask(b"INFO commandstats\r\n")
        assert (b"cmdstat_get:" in used) is is_master(member)
        assert (b"cmdstat_getrange:" in used) is is_master(member)


@pytest.mark.parametrize("server", ["redis_cluster_server", "redis_sentinel_server"])
def test_forked_child_uses_connections_of_its_own(request: pytest.FixtureRequest, server: str) -> None:
    store = store_at(request.getfixturevalue(server).location)
    run_sync(fill(store))
    if (child := os.fork()) == 0:
        code = 1
        try:
            for key in KEYS:
                assert run_sync(store.read(key))
            code = 0
        finally:
            os._exit(code)
    for key in KEYS:
        assert run_sync(store.read(key))
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(iterate(store.scan())) >= KEYS[:1]
    store.close()


@pytest.mark.parametrize("server", ["redis_cluster_server", "redis_sentinel_server"])
def test_event_loops_leave_no_connection_behind(request: pytest.FixtureRequest, server: str) -> None:
    store = store_at(request.getfixturevalue(server).location)

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path is needed

    asyncio.run(store.read(KEYS[0]))
    before = open_files()
    for _ in range(20):
        asyncio.run(store.read(KEYS[0]))
    assert open_files() <= before


# Users.


def test_sentinels_are_asked_over_connections_that_are_closed_then(
    drive: Drive, redis_sentinel_server: RedisSentinel
) -> None:
    ports = {sentinel.port for sentinel in redis_sentinel_server.sentinels}
    store = store_at(redis_sentinel_server.location)
    drive(store.read(KEYS[0]))
    connections = psutil.Process().net_connections("tcp")
    assert ports.isdisjoint(each.raddr.port for each in connections if each.status != psutil.CONN_LISTEN)
    store.close()


def test_cancelled_question_closes_the_connections_to_all_sentinels(
    redis_sentinel_server: RedisSentinel, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """The end of the time to connect comes while they are being closed; none of them knows the service."""
    nodes = [(sentinel.host, sentinel.port) for sentinel in redis_sentinel_server.sentinels]
    connection = Sentinels(nodes, "absent", False, {}, {"protocol": 2}).async_connection()
    closing = AsyncRedis.aclose

    async def connect() -> None:
        asking = asyncio.create_task(connection.connect())

        async def close_meanwhile(client: AsyncRedis, *arguments: Any) -> None:
            asking.cancel()
            await closing(client, *arguments)

        patched.setattr(AsyncRedis, "aclose", close_meanwhile)
        await asyncio.wait([asking])
        assert asking.cancelled()

    with monkeypatch.context() as patched:
        asyncio.run(connect())
    gc.collect()
    assert [str(warning.message) for warning in recwarn if warning.category is ResourceWarning] == []


async def use(store: RedisStore) -> None:
    """Do all that a store can do."""
    key, other = KEYS[:2]
    await store.delete_many([key, other])
    token = await store.insert(key, payload(V1), 600, V1)
    assert token
    record = await store.read(key)
    assert record is not None
    token = await store.replace(key, payload(V2), 600, token, V2)
    assert token
    assert await store.exists([key, other]) == {key}
    assert key in {each async for each in store.scan()}
    assert await store.delete(key, token)
    await store.end(key, make_payload(flags=ENDED)[0], 600)
    await store.inspect()
    await store.probe(None)


@pytest.mark.parametrize(
    "server", ["redis_server", "newest_redis_server", "valkey_server", "redis_cluster_server", "redis_sentinel_server"]
)
def test_user_with_the_permissions_that_the_error_names_can_do_all(
    drive: Drive, request: pytest.FixtureRequest, server: str
) -> None:
    running = request.getfixturevalue(server)
    members = [running] if isinstance(running, RedisServer) else getattr(running, "nodes", None) or running.servers
    advice = failure(redis.ResponseError("NOPERM"))
    assert advice is not None
    allowed = " ".join(re.findall(r"\+[\w|]+", advice[1]))
    for member in members:
        assert member.ask(f"ACL SETUSER shop reset on >secret ~dms:* {allowed}\r\n".encode()) == b"+OK\r\n"
    location = running.location.replace("://", "://shop:secret@")
    store = store_at(f"{location[:-1]}2" if isinstance(running, RedisServer) else location)  # a database, too
    drive(use(store))
    if isinstance(running, RedisCluster):
        slot = slot_of(f"dms:{KEYS[0]}")
        source = running.node_of(f"dms:{KEYS[0]}")
        target = next(node for node in running.nodes if is_master(node) and node is not source)
        assert source
        drive(store.delete_many(KEYS[:1]))
        source.ask(b"CONFIG RESETSTAT\r\n")
        open_slot(slot, source, target)
        assert drive(store.insert(KEYS[0], payload(V1), 600, V1))
        assert b"errorstat_ASK" in source.ask(b"INFO errorstats\r\n")
        assert drive(store.delete_many(KEYS[:1])) == 1
        for node in (target, source):
            assert node.cluster(f"SETSLOT {slot} STABLE") == "OK"
    store.close()
    for member in members:
        member.ask(b"ACL DELUSER shop\r\n")
