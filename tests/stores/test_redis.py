"""What is particular to the redis store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured

from django_multisession.bridge import run_sync
from django_multisession.deadline import shared_budget
from django_multisession.envelope import Header
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.redis.store import RedisStore
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import NewestRedisServer, RedisServer

KEY, OTHER = "ab" * 20, "cd" * 20
V1, V2, V3 = b"version1", b"version2", b"version3"

Drive = Callable[[Coroutine[Any, Any, Any]], Any]


def payload(version: bytes, body: bytes = b"body") -> bytes:
    return Header.new(version, 1, 2, 3, 4).pack(b"kid.") + body


@pytest.fixture(params=[run_sync, asyncio.run], ids=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Run a coroutine in either colour."""
    driven: Drive = request.param
    return driven


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


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"socket_timeout": 9}, {"retry": None}, {"colour": 1}])
def test_options_that_break_promises_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        RedisStore(StoreOptions(options=options))


def test_constructor_does_no_io() -> None:
    store_at("redis://host.invalid:1/0")


# Commands.


def test_each_operation_is_one_command(drive: Drive, store: RedisStore, client: redis.Redis) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        await store.read(KEY)
        await store.replace(KEY, payload(V2), 60, V1, V2)
        await store.exists([KEY, OTHER])
        await store.delete_many([KEY, OTHER])

    drive(scenario())  # the scripts are known to the server afterwards
    client.config_resetstat()
    drive(scenario())
    stats: dict[str, Any] = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    inside_scripts = {"getrange": 1, "set": 1, "exists": 2}
    assert calls.pop("config|resetstat") == 1
    assert calls == {
        "set": 1 + inside_scripts["set"],
        "get": 1,
        "evalsha": 2,
        "getrange": inside_scripts["getrange"],
        "exists": inside_scripts["exists"],
        "del": 1,
    }


def test_scripts_survive_a_server_that_forgot_them(drive: Drive, store: RedisStore, client: redis.Redis) -> None:
    async def scenario() -> None:
        client.script_flush()
        assert await store.insert(KEY, payload(V1), 60, V1)
        assert (await store.replace(KEY, payload(V2), 60, V1, V2) or b"").startswith(V2)
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
    client.mset({f"dms:{key}": b"x" for key in keys})

    async def scenario() -> set[str]:
        return {key async for key in store.scan()}

    assert drive(scenario()) == keys


def test_lifetime_beyond_the_year_2200(store: RedisStore, client: redis.Redis) -> None:
    run_sync(store.insert(KEY, payload(V1), 10**10, V1))
    run_sync(store.replace(KEY, payload(V2), 10**10, V1, V2))
    assert client.ttl(f"dms:{KEY}") >= 10**10 - 2


def test_database_and_socket_of_the_location(drive: Drive) -> None:
    with RedisServer("--unixsocket", "redis.sock") as server:
        store = store_at(f"unix://{server.directory}/redis.sock?db=3")
        drive(store.insert(KEY, payload(V1), 60, V1))
        assert server.ask(f"SELECT 3\r\nEXISTS dms:{KEY}\r\n".encode()).endswith(b":1\r\n")
        store.close()


def test_wrong_password_is_an_outage_that_does_not_tell_it(drive: Drive) -> None:
    with RedisServer("--requirepass", "right") as server:
        wrong = store_at(f"redis://:secret@{server.host}:{server.port}/0")
        with pytest.raises(StoreUnavailable) as caught:
            drive(wrong.read(KEY))
        assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
        store = store_at(f"redis://:right@{server.host}:{server.port}/2")
        assert drive(store.read(KEY)) is None
        store.close()


def test_full_server_is_an_outage_and_not_a_taken_key(drive: Drive) -> None:
    with RedisServer("--maxmemory", "1") as server:
        store = store_at(server.location)
        with pytest.raises(StoreUnavailable, match="OutOfMemory"):
            drive(store.insert(KEY, payload(V1), 60, V1))
        store.close()


def test_server_that_became_a_replica_is_left(drive: Drive, server: RedisServer) -> None:
    with Proxy(server) as proxy, redis.Redis.from_url(server.location) as admin:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            admin.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
            with pytest.raises(StoreUnavailable, match="ReadOnly"):
                await store.insert(OTHER, payload(V1), 60, V1)
            admin.execute_command("REPLICAOF", "NO", "ONE")
            assert await store.insert(OTHER, payload(V1), 60, V1)
            assert proxy.connections == 2  # the address may lead to another server by now

        drive(scenario())
        store.close()


def test_probe_whose_script_is_not_there_is_an_answer(drive: Drive, server: RedisServer) -> None:
    store = store_at(server.location)

    async def scenario() -> None:
        await store.exists([KEY])
        with redis.Redis.from_url(server.location) as admin:
            admin.script_flush()
        store.breaker.failed(time.monotonic() - 10, timed_out=True, error=TimeoutError())
        assert await store.exists([KEY]) == set()
        assert not store.breaker.is_open

    drive(scenario())
    store.close()


def test_short_budget_of_one_task_costs_the_others_nothing(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.read(KEY)
            proxy.delay(0.05)
            others = [asyncio.ensure_future(store.read(KEY)) for _ in range(5)]
            line = store._lines.get(asyncio.get_running_loop())
            with pytest.raises(TimeoutError):
                await line.ask(b"PING\r\n", asyncio.get_running_loop().time() + 0.002)
            assert await asyncio.gather(*others) == [None] * 5
            assert proxy.connections == 1

        asyncio.run(scenario())


def test_server_that_takes_no_more_clients_is_an_outage_at_once(server: RedisServer) -> None:
    with redis.Redis.from_url(server.location) as admin:
        admin.config_set("maxclients", 1)
        store = store_at(server.location)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="Connection") as caught:
            asyncio.run(store.read(KEY))
        assert caught.value.retryable
        assert time.monotonic() - started < 0.4


# Swaps.


@pytest.mark.parametrize(("size", "sent"), [(100, b"IFEQ"), (5000, b"EVALSHA")], ids=["small", "large"])
def test_swap_is_one_command_where_the_server_compares(
    drive: Drive, newest_redis_server: NewestRedisServer, size: int, sent: bytes
) -> None:
    with Proxy(newest_redis_server) as proxy:
        store, key = store_at(proxy.location), secrets.token_hex(20)

        async def scenario() -> None:
            body = secrets.token_bytes(size)
            await store.insert(key, payload(V1, body), 60, V1)
            await store.read(key)
            record = await store.read(key)
            assert record is not None
            if size > 4096:
                await store.replace(key, payload(V1, body), 60, record.version, V1)  # loads the script
            proxy.reset()
            lost = proxy.cut_reply(sent)
            with pytest.raises(StoreUnavailable):
                await store.replace(key, payload(V2, body), 60, record.version, V2)
            assert lost.is_set()
            assert proxy.requests == 1
            assert await store.replace(key, payload(V3), 60, record.version, V3) is None
            record = await store.read(key)
            assert record is not None
            assert record.version.startswith(V2)
            assert (await store.replace(key, payload(V3), 60, record.version, V3) or b"").startswith(V3)
            assert await store.delete(key, (await store.read(key)).version)  # type: ignore[union-attr]

        drive(scenario())
        store.close()


def test_server_that_does_not_compare_is_asked_once(drive: Drive, redis_server: RedisServer) -> None:
    with Proxy(redis_server) as proxy:
        store, key = store_at(proxy.location), secrets.token_hex(20)

        async def scenario() -> None:
            version = await store.insert(key, payload(V1), 60, V1)
            assert version
            for expected in (3, 1, 1):  # the comparison, the script by its digest, and by its text; then one of these
                proxy.reset()
                version = await store.replace(key, payload(V2), 60, version or b"", V2)
                assert version == V2
                assert proxy.requests <= expected
            assert not store.breaker.has_failed

        drive(scenario())
        store.close()


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


# Outages.


def test_hung_server_costs_one_timeout_and_then_nothing(drive: Drive, server: RedisServer) -> None:
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


def test_new_connection_to_a_hung_server_keeps_the_budget(drive: Drive, server: RedisServer) -> None:
    store = store_at(f"{server.location[:-1]}1")  # SELECT 1 is what hangs
    with server.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            drive(store.read(KEY))
        assert time.monotonic() - started < 1.0


def test_what_is_left_of_the_budget_bounds_a_call(drive: Drive, server: RedisServer) -> None:
    async def scenario() -> float:
        with shared_budget():
            await store.read(KEY)
            delayed.delay(0.5)
            await store.read(KEY)
            await store.read(KEY)  # 0.2 s are left for what follows
            server.pause()
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.read(KEY)
            return time.monotonic() - started

    with Proxy(server) as delayed:
        store = store_at(delayed.location, timeout=1.2)
        assert drive(scenario()) < 0.4
        server.resume()
        store.close()


def test_restarted_server_breaks_one_call_that_may_be_repeated(drive: Drive, server: RedisServer) -> None:
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
        drive(store_at(f"redis://127.0.0.1:{free_port()}/0").read(KEY))
    assert caught.value.retryable


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
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.read(KEY)
            proxy.reset()
            await asyncio.gather(*(store.read(KEY) for _ in range(100)))
            assert proxy.requests <= 3

        asyncio.run(scenario())


def test_cancelled_task_leaves_no_half_answer(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            await store.insert(OTHER, payload(V2), 60, V2)
            for number in range(60):
                proxy.delay(0.01)
                tasks = [asyncio.ensure_future(store.read(KEY)) for _ in range(2)]
                await asyncio.sleep(number / 3000)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                proxy.delay(0)
                records = await asyncio.gather(*(store.read(OTHER) for _ in range(4)))
                assert {record and record.payload for record in records} == {payload(V2)}
            assert proxy.connections == 1

        asyncio.run(scenario())


def test_task_that_is_cancelled_while_connecting_leaves_the_others_their_connection(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            first = asyncio.ensure_future(store.read(KEY))
            second = asyncio.ensure_future(store.read(KEY))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            first.cancel()
            assert await second is None
            assert proxy.connections == 1

        asyncio.run(scenario())


def test_connection_that_is_silent_is_replaced(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location, timeout=0.4)

        async def scenario() -> None:
            assert await store.read(KEY) is None
            proxy.blackhole()
            tried = await asyncio.gather(*(store.read(KEY) for _ in range(5)), return_exceptions=True)
            assert {type(each) for each in tried} == {StoreUnavailable}
            proxy.restore()
            store.breaker.succeeded()
            assert await store.read(KEY) is None
            assert proxy.connections == 2

        asyncio.run(scenario())


def test_connection_that_breaks_may_be_asked_again(server: RedisServer) -> None:
    with Proxy(server) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.read(KEY)
            proxy.delay(0.2)
            waiting = [asyncio.ensure_future(store.read(KEY)) for _ in range(12)]
            await asyncio.sleep(0.05)
            proxy.disconnect()
            for each in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(each, StoreUnavailable)
                assert each.retryable
            proxy.delay(0)
            # One connection has broken, not as many as there were tasks: the breaker is closed.
            assert await store.read(KEY) is None

        asyncio.run(scenario())


@pytest.mark.parametrize("nonsense", [b"?nonsense\r\n", b"+OK\r\n"], ids=["no protocol", "one too many"])
def test_answer_that_was_not_asked_for_breaks_the_connection(nonsense: bytes) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while b"GET" in await reader.read(1000):
            writer.write(b"$-1\r\n" + nonsense)
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            store = store_at(f"redis://127.0.0.1:{port}/0")
            for expected in (1, 2):
                assert await store.read(KEY) is None
                await asyncio.sleep(0.05)
                assert connections == expected

    asyncio.run(scenario())


def test_forked_child_uses_connections_of_its_own(store: RedisStore) -> None:
    async def scenario() -> None:
        await store.insert(KEY, payload(V1), 60, V1)
        if (child := os.fork()) == 0:
            code = 1
            try:
                run_sync(store.replace(KEY, payload(V2), 60, V1, V2))
                for _ in range(100):
                    assert run_sync(store.read(KEY)).payload == payload(V2)  # type: ignore[union-attr]
                store.close()
                code = 0
            finally:
                os._exit(code)
        for _ in range(100):
            assert await store.read(KEY)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222  # driven without a loop
        assert (await store.read(KEY)).payload == payload(V2)  # type: ignore[union-attr]

    run_sync(scenario())
