"""What is particular to the redis store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured

from django_multisession.breaker import BreakerOpen
from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.exceptions import StoreRefused, StoreUnavailable
from django_multisession.stores.base import Inspection, StoreOptions
from django_multisession.stores.redis.store import RedisStore
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer
from tests.stores.helpers import KEY, OTHER, PATIENCE, V1, V2, V3, Drive, payload, read_where_the_connection_was_lost
from tests.timing import late


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, to be hung and ended."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.location, protocol=2) as client:
        client.flushall()
        yield client


def store_at(location: str, **options: Any) -> RedisStore:
    return RedisStore(StoreOptions(location=location, **options))


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    store = store_at(redis_server.location)
    yield store
    store.close()


# Settings.


@pytest.mark.parametrize(
    ("location", "name"),
    [
        (None, "redis://127.0.0.1:6379/0"),
        ("redis://user:secret@example.org", "redis://example.org:6379/0"),
        ("rediss://:secret@[::1]:7000/3", "rediss://[::1]:7000/3"),
        ("unix://user:secret@/run/redis.sock?db=2&password=secret", "unix:///run/redis.sock?db=2"),
    ],
)
def test_name_leaves_the_password_out(location: str | None, name: str) -> None:
    assert RedisStore(StoreOptions(location=location)).name == name


@pytest.mark.parametrize(
    "location",
    [
        "",
        "127.0.0.1:6379",
        "http://user:secret@host/0",
        "redis://",
        "redis://user:secret@host/sessions",
        "redis://user:secret@host:port/0",
        "redis://user:sec#secret@host/0",
        "redis://user:se/secret@host/0",
        "unix://",
        "redis://host/0?password=secret&socket_read_size=secret",
        "redis://host/0?password=secret&colour=blue",
        "redis://host/0?password=secret&socket_timeout=5",
        ("redis://user:secret@host/0",),
    ],
)
def test_wrong_location_is_refused_without_its_password(location: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"MULTISESSION: .*LOCATION") as caught:
        RedisStore(StoreOptions(location=location))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"decode_responses": True},
        {"socket_timeout": 9},
        {"retry": None},
        {"colour": 1},
        {"max_idle": 0},
        {"wait": -1},
        {"wait": "1"},
        {"sentinel_kwargs": {}},  # LOCATION names no sentinel
    ],
)
def test_options_that_break_promises_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        RedisStore(StoreOptions(options=options))


def test_constructor_does_no_io() -> None:
    store_at("redis://host.invalid:1/0")


# A client of the project's own.


class Own:
    """Factories for OPTIONS["client"], and where their server is."""

    url = "redis://127.0.0.1:1/0"


def own_client() -> redis.Redis:
    """Return a client as a project may have it, for text and with retries and limits of its own."""
    credentials = redis.UsernamePasswordCredentialProvider(password="fake password")
    return redis.Redis.from_url(
        f"{Own.url}/7", credential_provider=credentials, decode_responses=True, client_name="project", socket_timeout=9
    )


def own_tls_client() -> redis.Redis:
    """Return a client that encrypts."""
    return redis.Redis(host="redis.example", port=6380, ssl=True, ssl_check_hostname=False, password="fake password")


def own_socket_client() -> redis.Redis:
    """Return a client of a local socket."""
    return redis.Redis(unix_socket_path="/run/redis.sock", db=2)


def asynchronous_client() -> Any:
    return redis.asyncio.Redis()


def sentinels_client() -> Any:
    return cast(Any, redis.sentinel.Sentinel)([("127.0.0.1", 1)]).master_for("service")


def connecting_client() -> Any:
    return redis.Redis(redis_connect_func=cast(Any, print))


def client_of_a_class() -> Any:
    class Connection(redis.Connection):
        pass

    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Connection))


def demanding_client(server: str) -> redis.Redis:
    return redis.Redis.from_url(server)


def test_client_may_be_the_projects_own(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer("--requirepass", "fake password") as server:
        monkeypatch.setattr(Own, "url", server.location.rpartition("/")[0])
        store = RedisStore(StoreOptions(options={"client": f"{__name__}.own_client"}))

        async def scenario() -> bytes | None:
            token = await store.insert(KEY, payload(V1), 60, V1)
            assert token is not None
            assert await store.replace(KEY, payload(V2), 60, token, V2)
            found = await store.read(KEY)
            assert await store.delete_many([KEY]) == 1
            return found and found.payload

        assert drive(scenario()) == payload(V2)
        assert store.name == f"{Own.url}/7"
        store.close()
        with redis.Redis.from_url(server.location, password="fake password") as admin:
            assert {each["name"] for each in admin.client_list()} <= {"", "project"}


@pytest.mark.parametrize(
    ("factory", "name"),
    [("own_tls_client", "rediss://redis.example:6380/0"), ("own_socket_client", "unix:///run/redis.sock?db=2")],
)
def test_client_of_the_project_says_where_the_server_is(factory: str, name: str) -> None:
    assert RedisStore(StoreOptions(options={"client": f"{__name__}.{factory}"})).name == name


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no.such.module", "ModuleNotFoundError"),
        ("django.VERSION", "not callable"),
        (f"{__name__}.nothing", "ImportError"),
        (f"{__name__}.demanding_client", "server"),
        (f"{__name__}.Own", "returned a Own"),
        (f"{__name__}.asynchronous_client", "returned a Redis"),
        (f"{__name__}.sentinels_client", "SentinelManagedConnection"),
        (f"{__name__}.connecting_client", "credential_provider"),
        (f"{__name__}.client_of_a_class", "Connection"),
        (1, "AttributeError"),
    ],
)
def test_client_that_cannot_be_is_refused(path: Any, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"OPTIONS\['client'\] is .*{reason}"):
        RedisStore(StoreOptions(options={"client": path}))


def test_client_and_a_location_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"LOCATION.*Leave one of them out"):
        store_at("redis://127.0.0.1:1/0", options={"client": f"{__name__}.own_client"})


# Commands.


def test_scripts_survive_a_server_that_forgot_them(drive: Drive, store: RedisStore, client: redis.Redis) -> None:
    async def scenario() -> None:
        client.script_flush()
        assert await store.insert(KEY, payload(V1), 60, V1)
        assert await store.replace(KEY, payload(V2), 60, V1, V2) == payload(V2)
        client.script_flush()
        assert not await store.delete(KEY, V1)
        client.script_flush()
        assert await store.exists([KEY, OTHER]) == {KEY}

    drive(scenario())


@pytest.mark.parametrize(("prefix", "address"), [("", f"dms:{KEY}"), ("shop", f"shop:dms:{KEY}")])
def test_value_is_the_payload_under_prefix_and_storage_key(
    redis_server: RedisServer, client: redis.Redis, prefix: str, address: str
) -> None:
    store = store_at(redis_server.location, prefix=prefix)
    run_sync(store.insert(KEY, payload(V1), 60, V1))
    assert client.keys() == [address.encode()]
    assert client.get(address) == payload(V1)
    assert 58 <= client.ttl(address) <= 60
    store.close()


def test_scan_takes_the_prefix_literally(drive: Drive, redis_server: RedisServer, client: redis.Redis) -> None:
    stores = [store_at(redis_server.location, prefix=prefix) for prefix in ("", "a*", "ab", "dms")]

    async def scenario() -> None:
        for number, store in enumerate(stores):
            await store.insert(f"{number:040}", payload(V1), 60, V1)
        for number, store in enumerate(stores):
            assert [key async for key in store.scan()] == [f"{number:040}"]

    drive(scenario())
    for store in stores:
        store.close()


def test_scan_goes_over_all_pages(drive: Drive, store: RedisStore, client: redis.Redis) -> None:
    keys = {f"{number:040}" for number in range(3000)}
    client.mset({f"dms:{key}": payload(V1) for key in keys})

    async def scenario() -> set[str]:
        return {key async for key in store.scan()}

    assert drive(scenario()) == keys


def test_database_and_socket_of_the_location(drive: Drive) -> None:
    with RedisServer("--unixsocket", "redis.sock") as server:
        store = store_at(f"unix://{server.directory}/redis.sock?db=3")
        drive(store.insert(KEY, payload(V1), 60, V1))
        assert server.ask(f"SELECT 3\r\nEXISTS dms:{KEY}\r\n".encode()).endswith(b":1\r\n")
        store.close()


@pytest.mark.parametrize("ttl", [10**10, 10**16])
def test_lifetime_beyond_the_year_2200_is_cut_to_what_the_server_takes(
    drive: Drive, store: RedisStore, client: redis.Redis, ttl: int
) -> None:
    async def scenario() -> None:
        token = await store.insert(KEY, payload(V1), ttl, V1)
        assert token
        assert await store.replace(KEY, payload(V2), ttl, token, V2)
        assert client.ttl(f"dms:{KEY}") >= 10**10 - 2
        await store.end(KEY, payload(V3), ttl)
        assert client.ttl(f"dms:{KEY}") >= 10**10 - 2

    drive(scenario())


def test_connections_say_who_they_are(drive: Drive, redis_server: RedisServer, client: redis.Redis) -> None:
    def names() -> set[str]:
        return {each["name"] for each in client.client_list()}

    for options, name in (({}, "django_multisession"), ({"client_name": "shop"}, "shop")):
        store = store_at(redis_server.location, options=options)

        async def scenario(store: RedisStore = store) -> set[str]:
            await store.read(KEY)
            return names()

        assert name in drive(scenario())
        store.close()


# What the server says of one call.


def test_full_server_refuses_writes_while_reads_go_on(drive: Drive) -> None:
    with RedisServer() as server, redis.Redis.from_url(server.location) as admin:
        store = store_at(server.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            admin.config_set("maxmemory", 1)
            visitors = 0
            for number in range(60):
                for _ in range(3):
                    with pytest.raises(StoreRefused, match=r"OOM.*maxmemory") as caught:
                        await store.insert(f"{number:040}", payload(V2), 60, V2)
                    assert not caught.value.retryable
                    visitors += 1
                assert (await store.read(KEY)).payload == payload(V1)  # type: ignore[union-attr]  # it is there
            assert visitors == 180
            assert not store.breaker.is_open

        drive(scenario())
        store.close()


def test_server_that_cannot_save_refuses_writes_while_reads_go_on(drive: Drive, tmp_path: Path) -> None:
    with RedisServer("--save", "3600 1", "--dbfilename", "dump") as server:
        (server.directory / "dump").mkdir()
        store = store_at(server.location)
        with redis.Redis.from_url(server.location) as admin:
            admin.bgsave()
            while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
                time.sleep(0.01)

        async def scenario() -> None:
            with pytest.raises(StoreRefused, match=r"MISCONF.*disk"):
                await store.insert(KEY, payload(V1), 60, V1)
            assert await store.read(KEY) is None

        drive(scenario())
        store.close()


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("ACL SETUSER default -set", "NOPERM.*ACL SETUSER"),
        ("CONFIG SET min-replicas-to-write 1", "NOREPLICAS.*min-replicas-to-write"),
    ],
)
def test_refusal_says_what_to_do(drive: Drive, server: RedisServer, command: str, match: str) -> None:
    with redis.Redis.from_url(server.location) as admin:
        admin.execute_command(*command.split())
        store = store_at(server.location)
        with pytest.raises(StoreRefused, match=match) as caught:
            drive(store.insert(KEY, payload(V1), 60, V1))
        assert KEY not in str(caught.value)
        assert drive(store.read(KEY)) is None
        store.close()


def test_wrong_setting_is_named(drive: Drive) -> None:
    with RedisServer("--requirepass", "right") as server:
        address = f"{server.host}:{server.port}"
        for location, match in (
            (f"redis://:secret@{address}/0", "WRONGPASS.*LOCATION"),
            (f"redis://{address}/0", "NOAUTH.*LOCATION"),
            (f"redis://:right@{address}/99", "no such database.*LOCATION"),
        ):
            store = store_at(location)
            with pytest.raises(ImproperlyConfigured, match=match) as caught:
                drive(store.read(KEY))
            assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
            assert not store.breaker.is_open
            store.close()
        store = store_at(f"redis://:right@{address}/2")
        assert drive(store.read(KEY)) is None
        store.close()


def test_name_that_was_never_found_is_a_wrong_setting(drive: Drive) -> None:
    with pytest.raises(ImproperlyConfigured, match="no host of this name"):
        drive(store_at("redis://host.invalid/0").read(KEY))


def test_server_that_became_a_replica_is_left(drive: Drive, server: RedisServer) -> None:
    with Proxy(server) as proxy, redis.Redis.from_url(server.location) as admin:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            admin.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
            with Operation(), pytest.raises(StoreUnavailable, match="READONLY") as caught:
                await store.insert(OTHER, payload(V1), 60, V1)
            assert caught.value.retryable
            admin.execute_command("REPLICAOF", "NO", "ONE")
            assert await store.insert(OTHER, payload(V1), 60, V1)
            assert proxy.connections == 2  # the address may lead to another server by now

        drive(scenario())
        store.close()


def test_replica_without_its_primary_is_a_lost_connection(drive: Drive, server: RedisServer) -> None:
    with redis.Redis.from_url(server.location) as admin:
        admin.config_set("replica-serve-stale-data", "no")
        admin.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        store = store_at(server.location)

        async def scenario() -> None:
            with Operation(), pytest.raises(StoreUnavailable, match="MASTERDOWN") as caught:
                await store.read(KEY)
            assert caught.value.retryable

        drive(scenario())
        store.close()


def test_server_that_takes_no_more_clients_is_a_lost_connection(drive: Drive, server: RedisServer) -> None:
    with redis.Redis.from_url(server.location) as admin:
        admin.config_set("maxclients", 1)
        store = store_at(server.location)

        async def scenario() -> None:
            with Operation(), pytest.raises(StoreUnavailable) as caught:
                await store.read(KEY)
            assert caught.value.retryable

        drive(scenario())


# Swaps.


def test_each_operation_is_one_round_trip(drive: Drive, redis_server: RedisServer) -> None:
    with Proxy(redis_server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def scenario() -> None:
            async def step(operation: Coroutine[Any, Any, Any]) -> Any:
                before = proxy.requests
                result = await operation
                assert proxy.requests == before + 1
                return result

            await store.delete_many([KEY, OTHER])
            token = await step(store.insert(KEY, payload(V1), 60, V1))
            await store.replace(KEY, payload(V2), 60, token, V2)  # finds out what the server knows
            token = (await step(store.read(KEY))).token
            assert await step(store.replace(KEY, payload(V3), 60, token, V3))
            await step(store.exists([KEY, OTHER]))
            await step(store.end(KEY, payload(V3), 60))
            assert await step(store.delete_many([KEY, OTHER])) == 1

        drive(scenario())
        store.close()


@pytest.mark.parametrize("size", [100, 5000], ids=["small", "large"])
def test_swap_is_one_command_where_the_server_compares(
    drive: Drive, newest_redis_server: NewestRedisServer, size: int
) -> None:
    with Proxy(newest_redis_server) as proxy:
        store, key = store_at(proxy.location, timeout=PATIENCE), secrets.token_hex(20)

        async def scenario() -> None:
            body = secrets.token_bytes(size)
            token = await store.insert(key, payload(V1, body), 60, V1)
            assert token
            if size > 4096:
                token = await store.replace(key, payload(V1, body), 60, token, V1)  # loads the script
                assert token == V1
            proxy.reset()
            lost = proxy.cut_reply(b"IFEQ" if size < 4096 else b"EVALSHA")
            with pytest.raises(StoreUnavailable):
                await store.replace(key, payload(V2, body), 60, token, V2)
            assert lost.is_set()
            assert await store.replace(key, payload(V3), 60, token, V3) is None
            record = await store.read(key)
            assert record is not None
            assert record.payload == payload(V2, body)
            assert not await store.delete(key, payload(V3) if size < 4096 else V3)  # loads the script
            lost = proxy.cut_reply(b"DELEX" if size < 4096 else b"EVALSHA")
            with pytest.raises(StoreUnavailable):
                await store.delete(key, record.token)
            assert lost.is_set()
            assert await store.read(key) is None

        drive(scenario())
        store.close()


def test_server_that_does_not_compare_is_asked_again_after_a_while(
    drive: Drive, redis_server: RedisServer, newest_redis_server: NewestRedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(redis_server) as proxy:
        store, key = store_at(proxy.location, timeout=PATIENCE), secrets.token_hex(20)

        async def swaps(*requests: int) -> None:
            token = await store.insert(key, payload(V1), 60, V1)
            for expected in requests:
                proxy.reset()
                token = await store.replace(key, payload(V2), 60, token or b"", V2)
                assert token == payload(V2)
                assert proxy.requests <= expected
            for expected in requests:
                assert await store.delete(key, token)
                proxy.reset()
                await store.insert(key, payload(V2), 60, V2)
                assert proxy.requests <= expected
            await store.delete(key)

        async def scenario() -> None:
            await swaps(3, 1, 1)  # the comparison, the script by its digest, and by its text; then one of these
            # A failover to one that compares, and back.
            proxy.server = newest_redis_server
            proxy.disconnect()
            with pytest.raises(StoreUnavailable):
                await store.read(key)
            monkeypatch.setattr("django_multisession.stores.redis.commands.LACK_TTL", 0.0)
            compared = proxy.cut_reply(b"IFEQ")
            with pytest.raises(StoreUnavailable):
                await store.replace(key, payload(V2), 60, payload(V1), V2)
            assert compared.is_set()
            proxy.server = redis_server
            proxy.disconnect()
            await swaps(3)

        drive(scenario())
        assert not store.breaker.is_open
        store.close()


def test_refusal_of_a_swap_is_not_taken_for_a_server_that_does_not_compare(
    drive: Drive, newest_redis_server: NewestRedisServer
) -> None:
    with Proxy(newest_redis_server) as proxy, redis.Redis.from_url(newest_redis_server.location) as admin:
        store, key = store_at(proxy.location, timeout=PATIENCE), secrets.token_hex(20)

        async def scenario() -> None:
            token = await store.insert(key, payload(V1), 60, V1)
            admin.config_set("maxmemory", 1)
            proxy.reset()
            try:
                with pytest.raises(StoreRefused, match="OOM"):
                    await store.replace(key, payload(V2), 60, token or b"", V2)
            finally:
                admin.config_set("maxmemory", 0)
            assert proxy.requests == 1  # no script is tried in its place

        drive(scenario())
        store.close()


# Replicas.


def test_write_that_ends_or_begins_a_session_waits_for_replicas(drive: Drive, server: RedisServer, caplog: Any) -> None:
    with RedisServer("--replicaof", server.host, str(server.port)) as replica, Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=4.0, options={"wait": 1})
        there = store_at(replica.location)
        with redis.Redis.from_url(server.location) as admin:
            while admin.info("replication").get("slave0", {}).get("state") != "online":
                time.sleep(0.01)

        async def scenario() -> None:
            token = await store.insert(KEY, payload(V1), 60, V1)
            assert (await there.read(KEY)).payload == payload(V1)  # type: ignore[union-attr]  # it is there
            await store.delete(KEY, token)
            assert await there.read(KEY) is None
            await store.end(KEY, payload(V2), 60)
            assert (await there.read(KEY)).payload == payload(V2)  # type: ignore[union-attr]  # it is there
            assert not caplog.records
            replica.pause()
            assert await store.delete(KEY)  # it stands
            assert await store.delete(KEY) is False
            replica.resume()

        drive(scenario())
        assert [record.getMessage() for record in caplog.records if "1 replicas" in record.getMessage()]
        assert len([record for record in caplog.records if record.name == "django_multisession"]) <= 2
        store.close()
        there.close()


# Inspection.


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--appendonly", "yes"], None),
        (["--save", "60 1"], None),
        ([], "Nothing is written to disk"),
        (["--rename-command", "CONFIG", ""], None),
        (
            ["--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"],
            "volatile-lru",
        ),
        (["--appendonly", "yes", "--maxmemory", "100mb"], None),
        (["--appendonly", "yes", "--replicaof", "127.0.0.1", "1"], "replica"),
    ],
)
def test_inspection_names_what_endangers_sessions(drive: Drive, options: list[str], problem: str | None) -> None:
    with RedisServer(*options) as server:
        store = store_at(server.location)
        found = drive(store.inspect())
        store.close()
        assert found.version == server.version()
    assert abs(found.time - time.time()) < 5
    assert len(found.problems) == (problem is not None)
    assert all(str(problem) in text for text in found.problems)


def test_inspection_finds_replicas_that_a_failover_may_lose_writes_to(drive: Drive) -> None:
    with RedisServer("--appendonly", "yes") as server, redis.Redis.from_url(server.location) as admin:
        store = store_at(server.location)

        def problems(replicas: int, least: int) -> tuple[str, ...]:
            admin.config_set("min-replicas-to-write", least)
            while int(admin.info("replication")["connected_slaves"]) != replicas:
                time.sleep(0.01)
            found: Inspection = drive(store.inspect())
            return found.problems

        with RedisServer("--replicaof", server.host, str(server.port)):
            [problem] = problems(1, 0)
            assert "failover undoes" in problem
            assert "Add a replica, then set it" in problem
            [problem] = problems(1, 1)  # with which the one that takes over takes no writes
            assert "Add one" in problem
            with RedisServer("--replicaof", server.host, str(server.port)):
                [problem] = problems(2, 0)
                assert "Set it to 1" in problem
                assert problems(2, 1) == ()
        store.close()


# Outages.


def test_new_connection_to_a_hung_server_keeps_the_budget(drive: Drive, server: RedisServer) -> None:
    store = store_at(f"{server.location[:-1]}1")  # SELECT 1 is what hangs
    with server.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            drive(store.read(KEY))
        assert time.monotonic() - started < late(0.75)


@pytest.fixture
def proxied(server: RedisServer) -> Iterator[tuple[Proxy[str], RedisStore]]:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)
        yield proxy, store
        store.close()


def test_hung_server_costs_one_answers_time_and_then_nothing(drive: Drive, server: RedisServer) -> None:
    store = store_at(server.location)

    async def scenario() -> None:
        assert await store.read(KEY) is None
        with server.paused():
            with pytest.raises(StoreUnavailable) as caught:
                await store.read(KEY)
            assert not caught.value.retryable
            assert store.breaker.is_open
            with pytest.raises(BreakerOpen):
                await store.read(KEY)
        deadline = time.monotonic() + 5
        while store.breaker.is_open:
            try:
                assert await store.read(KEY) is None
            except StoreUnavailable:
                assert time.monotonic() < deadline
                time.sleep(0.05)  # noqa: ASYNC251 - nothing else runs, in either colour

    drive(scenario())
    store.close()


def test_slow_answer_of_a_server_that_answers_a_probe_opens_nothing(
    drive: Drive, proxied: tuple[Proxy[str], RedisStore]
) -> None:
    proxy, store = proxied

    async def scenario() -> None:
        assert await store.read(KEY) is None
        proxy.forget()
        with pytest.raises(StoreUnavailable):
            await store.read(KEY)
        assert not store.breaker.is_open
        assert await store.read(KEY) is None

    drive(scenario())


def test_answer_that_trickles_in_is_bounded_as_a_whole(drive: Drive, proxied: tuple[Proxy[str], RedisStore]) -> None:
    proxy, store = proxied

    async def scenario() -> None:
        await store.insert(KEY, payload(V1, bytes(2000)), 60, V1)
        proxy.trickle(0.1)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.read(KEY)
        assert time.monotonic() - started < 10  # a byte every 0.1 s: 200 s
        proxy.restore()

    drive(scenario())


def test_handshake_that_trickles_in_is_bounded_as_a_whole(drive: Drive, proxied: tuple[Proxy[str], RedisStore]) -> None:
    proxy, store = proxied
    proxy.trickle(0.2)
    with pytest.raises(StoreUnavailable):
        drive(store.read(KEY))
    assert store.breaker.is_open
    proxy.restore()


def test_resolver_that_hangs_is_given_up(
    drive: Drive, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, answers = threading.Event(), []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
        if host == "hung.test" and not more.get("flags"):
            ends.wait(3 * PATIENCE)
            answers.append(host)
            host = "127.0.0.1"
        return real(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    store = store_at(redis_server.location.replace("127.0.0.1", "hung.test"), timeout=0.4)
    timer = threading.Timer(PATIENCE, ends.set)
    timer.start()
    with pytest.raises(StoreUnavailable):
        drive(store.read(KEY))
    assert not answers
    timer.cancel()
    ends.set()
    store.close()


def test_addresses_of_a_name_that_hang_share_the_time(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    real, hosts = socket.getaddrinfo, [f"127.0.0.{number}" for number in range(1, 5)]
    with ExitStack() as stack:
        port = 0
        for host in hosts:
            listener = stack.enter_context(socket.create_server((host, port), backlog=0))
            port = listener.getsockname()[1]
            for _ in range(3):  # the kernel answers no more than it has room for
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((host, port))

        def getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
            if host == "many.test" and not more.get("flags"):
                return [each for one in hosts for each in real(one, *arguments, **more)]
            return real(host, *arguments, **more)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        store = store_at(f"redis://many.test:{port}", timeout=8.0)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            drive(store.read(KEY))
        assert time.monotonic() - started < 8  # by themselves they would take 16
        store.close()


def test_what_is_left_of_the_budget_bounds_a_call(drive: Drive, server: RedisServer) -> None:
    store = store_at(server.location, timeout=60.0)

    async def scenario() -> None:
        await store.read(KEY)
        with Operation() as operation:
            operation._before = 59.9
            with server.paused(), pytest.raises(StoreUnavailable):
                await store.read(KEY)

    started = time.monotonic()
    drive(scenario())
    assert time.monotonic() - started < 20  # of the 30 s that an answer may take
    store.close()


def test_restarted_server_breaks_one_call_that_may_be_repeated(drive: Drive, server: RedisServer) -> None:
    store = store_at(server.location)

    async def scenario() -> None:
        assert await store.read(KEY) is None
        server.restart()
        with Operation():
            with contextlib.suppress(StoreUnavailable):  # redis.asyncio sees that its connection is over
                assert await store.read(KEY) is None
            assert await store.read(KEY) is None

    drive(scenario())
    store.close()


def test_absent_server_is_an_outage(drive: Drive) -> None:
    async def scenario() -> None:
        store = store_at(f"redis://127.0.0.1:{free_port()}/0")
        with Operation():
            for is_retryable in (True, False):
                with pytest.raises(StoreUnavailable, match="ConnectionRefused") as caught:
                    await store.read(KEY)
                assert caught.value.retryable == is_retryable
        assert store.breaker.is_open

    drive(scenario())


def test_idle_connections_that_a_firewall_forgot_are_not_used(drive: Drive, server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE, options={"max_idle": 0.2})

        async def scenario() -> None:
            await store.read(KEY)
            time.sleep(0.3)  # noqa: ASYNC251 - nothing else runs, in either colour
            proxy.forget()
            for _ in range(8):
                assert await store.read(KEY) is None
            assert not store.breaker.is_open

        drive(scenario())
        store.close()


# Whose connection it is.


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def connections(client: redis.Redis) -> int:
    return int(client.info("clients")["connected_clients"]) - 1


def test_event_loops_leave_no_connection_behind(store: RedisStore, client: redis.Redis) -> None:
    before = connections(client), open_files()
    for _ in range(200):
        asyncio.run(store.read(KEY))
    assert (connections(client), open_files()) == before


def test_tasks_of_a_loop_share_a_connection(store: RedisStore, client: redis.Redis) -> None:
    keys = {f"{number:040}": payload(secrets.token_bytes(8)) for number in range(200)}
    before = connections(client)

    async def scenario() -> int:
        await asyncio.gather(*(store.insert(key, value, 60, value[6:14]) for key, value in keys.items()))
        found = await asyncio.gather(*(store.read(key) for key in keys))
        assert [record and record.payload for record in found] == [*keys.values()]
        return connections(client)

    assert asyncio.run(scenario()) - before == 1


def test_tasks_that_ask_at_once_share_packets(redis_server: RedisServer) -> None:
    with Proxy(redis_server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def scenario() -> None:
            await store.read(KEY)
            proxy.reset()
            await asyncio.gather(*(store.read(KEY) for _ in range(100)))
            assert proxy.requests <= 3

        asyncio.run(scenario())


@pytest.mark.parametrize("nonsense", [b"?nonsense\r\n", b"+OK\r\n"], ids=["no protocol", "one too many"])
def test_answer_that_was_not_asked_for_breaks_the_connection(nonsense: bytes) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            await reader.read(1000)
            writer.write(b"+OK\r\n")  # to CLIENT SETNAME
            while b"GET" in await reader.read(1000):
                writer.write(b"$-1\r\n" + nonsense)
        finally:
            writer.close()  # also at the end of the loop, which cancels this

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        store = store_at(f"redis://127.0.0.1:{port}/0")
        for expected in (1, 2):
            assert await store.read(KEY) is None
            await asyncio.sleep(0.05)
            assert connections == expected
        server.close()

    asyncio.run(scenario())


def test_cancelled_task_leaves_the_others_their_answers_and_connection(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            await store.insert(OTHER, payload(V2), 60, V2)
            for number in range(60):
                proxy.delay(0.01)
                tasks = [asyncio.ensure_future(store.read(KEY)) for _ in range(2)]
                other = asyncio.ensure_future(store.read(OTHER))
                await asyncio.sleep(number / 3000)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert (await other).payload == payload(V2)  # type: ignore[union-attr]  # it is there
                proxy.delay(0)
                records = await asyncio.gather(*(store.read(OTHER) for _ in range(4)))
                assert {record and record.payload for record in records} == {payload(V2)}
            assert proxy.connections == 1

        asyncio.run(scenario())


def test_task_that_is_cancelled_while_connecting_leaves_the_others_their_connection(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def scenario() -> None:
            first = asyncio.ensure_future(store.read(KEY))
            second = asyncio.ensure_future(store.read(KEY))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            first.cancel()
            assert await second is None
            assert proxy.connections == 1

        asyncio.run(scenario())


def test_task_with_little_time_left_costs_the_others_nothing(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def hasty() -> None:
            with Operation() as operation:
                operation._before = PATIENCE - 0.01
                with pytest.raises(StoreUnavailable):
                    await store.read(KEY)

        async def scenario() -> None:
            await store.read(KEY)
            proxy.delay(0.1)
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(store.read(KEY)) for _ in range(5)]
                group.create_task(hasty())
            assert [task.result() for task in others] == [None] * 5
            assert proxy.connections == 1
            assert not store.breaker.is_open

        asyncio.run(scenario())


def test_connection_that_breaks_may_be_asked_again_by_all_that_shared_it(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def scenario() -> None:
            await store.read(KEY)
            proxy.reset()
            proxy.cut_reply(b"GET")
            await asyncio.gather(*(read_where_the_connection_was_lost(store) for _ in range(12)))
            assert proxy.connections == 1  # all are asked anew in one batch
            assert not store.breaker.is_open

        asyncio.run(scenario())


def test_large_records_go_alone(redis_server: RedisServer) -> None:
    with Proxy(redis_server) as proxy:
        store, other = store_at(proxy.location, timeout=PATIENCE), store_at(redis_server.location, timeout=PATIENCE)

        async def scenario() -> None:
            large = payload(V1, bytes(100_000))
            await store.insert(KEY, large, 60, V1)
            await store.delete_many([OTHER])
            await asyncio.gather(*(store.read(key) for key in [KEY, OTHER, KEY]))  # connects
            proxy.reset()
            await asyncio.gather(*(store.read(key) for key in [KEY, OTHER, OTHER, KEY, OTHER]))
            assert proxy.requests == 3  # two large ones, and the others together
            await other.replace(KEY, payload(V2), 60, V1, V2)
            await store.read(KEY)  # finds it small
            proxy.reset()
            await asyncio.gather(*(store.read(key) for key in [KEY, OTHER, KEY]))
            assert proxy.requests == 1

        asyncio.run(scenario())
        other.close()


def test_crowd_of_tasks_uses_four_connections(redis_server: RedisServer) -> None:
    with Proxy(redis_server) as proxy:
        store = store_at(proxy.location, timeout=PATIENCE)

        async def visitor(number: int) -> None:
            for _ in range(5):
                await asyncio.sleep(0.001 * (number % 7))
                await store.read(KEY)

        async def scenario() -> None:
            proxy.delay(0.005)
            await asyncio.gather(*(visitor(number) for number in range(200)))
            assert proxy.connections <= 4

        asyncio.run(scenario())


def test_forked_child_uses_connections_of_its_own(store: RedisStore) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        if (child := os.fork()) == 0:
            code = 1
            try:
                run_sync(store.replace(KEY, payload(V2), 60, V1, V2))
                for _ in range(100):
                    assert run_sync(store.read(KEY)).payload == payload(V2)  # type: ignore[union-attr]  # it is there
                store.close()
                code = 0
            finally:
                os._exit(code)
        for _ in range(100):
            assert await store.read(KEY)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - driven without a loop
        assert (await store.read(KEY)).payload == payload(V2)  # type: ignore[union-attr]  # it is there

    run_sync(scenario())
