"""What the memcached store makes of servers that are down, hung, slow, full, or none."""

from __future__ import annotations

import asyncio
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.exceptions import StoreRefused, StoreUnavailable
from django_multisession.stores.memcached.store import MemcachedStore
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer
from tests.stores.helpers import KEY, OTHER, V1, V2, Drive, payload, read_where_the_connection_was_lost
from tests.stores.memcached import put, store_at
from tests.timing import late

PATIENCE = 10.0


async def back(store: MemcachedStore, key: str = KEY, seconds: float = 1.5) -> Any:
    """Return what is under key, as soon as its server is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await store.read(key)
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # noqa: ASYNC251 - nothing else runs, in either colour


# Outages.


def test_hung_server_costs_one_timeout_and_then_nothing(drive: Drive, memcached: MemcachedServer) -> None:
    store = store_at(memcached.location, timeout=1.0)

    async def scenario() -> None:
        assert await store.read(KEY) is None
        with memcached.paused():
            started = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                await store.read(KEY)
            assert 0.45 < time.monotonic() - started < late(0.75)
            assert not caught.value.retryable
            assert store.node(KEY).breaker.is_open
            with pytest.raises(StoreUnavailable):
                await store.read(KEY)
        assert await back(store) is None

    drive(scenario())
    store.close()


def test_hung_server_holds_nobody_in_the_queue_for_a_thread(memcached: MemcachedServer) -> None:
    store = store_at(memcached.location, timeout=0.4)

    async def scenario() -> float:
        with memcached.paused():
            started = time.monotonic()
            outcomes = await asyncio.gather(*(store.read(KEY) for _ in range(200)), return_exceptions=True)
            assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
            return time.monotonic() - started

    assert asyncio.run(scenario()) < 1.0
    store.close()


def test_restarted_server_costs_one_retry(drive: Drive, memcached: MemcachedServer) -> None:
    store = store_at(memcached.location)

    async def scenario() -> None:
        assert await store.read(KEY) is None
        memcached.restart()
        await read_where_the_connection_was_lost(store)

    drive(scenario())
    store.close()


def test_absent_server_is_an_outage(drive: Drive) -> None:
    store = store_at(f"127.0.0.1:{free_port()}")

    async def scenario() -> None:
        for retryable in (True, False):
            with pytest.raises(StoreUnavailable, match="refused") as caught:
                await store.read(KEY)
            assert caught.value.retryable == retryable

    async def operation() -> None:
        with Operation():
            await scenario()

    drive(operation())
    assert store.node(KEY).breaker.is_open


def test_answer_that_trickles_is_bounded_as_a_whole(drive: Drive, memcached: MemcachedServer) -> None:
    with Proxy(memcached) as proxy:
        store = store_at(proxy.location, timeout=1.0)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            proxy.trickle(0.05)
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.read(KEY)
            assert time.monotonic() - started < late(0.75, 4)  # all of it takes seven seconds

        drive(scenario())
        store.close()


def test_idle_connections_that_a_firewall_forgot_are_not_used(memcached: MemcachedServer) -> None:
    with Proxy(memcached) as proxy:
        store = store_at(proxy.location, options={"max_idle": 0.2})
        barrier = threading.Barrier(8)

        def read() -> None:
            barrier.wait(PATIENCE)
            assert run_sync(store.read(KEY)) is None

        with ThreadPoolExecutor(8) as threads:
            for _ in range(2):
                for done in [threads.submit(read) for _ in range(8)]:
                    done.result()
                proxy.forget()
                time.sleep(0.3)
        store.close()


# Answers that are none.


def test_full_server_refuses_writes_and_goes_on_reading(drive: Drive) -> None:
    with MemcachedServer("-M", "-m", "2") as server:
        store = store_at(server.location)

        async def scenario() -> None:
            async def fill() -> None:
                for number in range(1000):
                    await put(store, f"{number:040}", size=100_000)

            token = await put(store, KEY)
            with pytest.raises(StoreRefused, match="-m"):
                await fill()
            for _ in range(5):
                with pytest.raises(StoreRefused):
                    await store.replace(KEY, payload(V2, size=100_000), 60, token, V2)
                record = await store.read(KEY)
                assert record is not None
                assert record.payload == payload(V1)
            assert not store.node(KEY).breaker.is_open

        drive(scenario())
        store.close()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Listen as something that is no memcached; yield its location."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline():
                self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"ERROR\r\n",
        b"VALUE something else\r\n",
        b"VALUE k 0 1 1\r\nx\r\nEND\r\n",
    ],
)
def test_what_is_no_memcached_is_a_wrong_location(drive: Drive, answer: bytes) -> None:
    with answering(answer) as location:
        store = store_at(location)
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match="LOCATION") as caught:
                drive(store.read(KEY))
            assert KEY not in str(caught.value)
        store.close()


def test_redis_at_the_location_is_a_wrong_location(drive: Drive, redis_server: RedisServer) -> None:
    with pytest.raises(ImproperlyConfigured, match="LOCATION"):
        drive(store_at(f"127.0.0.1:{redis_server.port}").read(KEY))


def test_host_that_was_never_found_is_a_wrong_location(drive: Drive) -> None:
    store = store_at("no.such.host.invalid")
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="no host of this name"):
            drive(store.read(KEY))


def test_server_that_asks_for_a_login_is_a_wrong_setting(drive: Drive) -> None:
    with answering(b"CLIENT_ERROR unauthenticated\r\n") as location:
        store = store_at(location)
        with pytest.raises(ImproperlyConfigured, match="OPTIONS"):
            drive(store.read(KEY))
        store.close()


# Threads and tasks.


def test_threads_that_the_application_keeps_busy_hold_up_no_session(memcached: MemcachedServer) -> None:
    store = store_at(memcached.location, timeout=1.0)
    go_on = threading.Event()

    async def scenario() -> None:
        busy = [asyncio.ensure_future(asyncio.to_thread(go_on.wait, PATIENCE)) for _ in range(64)]
        try:
            async with asyncio.timeout(PATIENCE / 2):
                assert await asyncio.gather(*(store.read(KEY) for _ in range(100))) == [None] * 100
        finally:
            go_on.set()
            await asyncio.gather(*busy)
        assert not store.node(KEY).breaker.is_open

    asyncio.run(scenario())
    store.close()


def test_crowd_that_waits_for_threads_opens_no_breaker(memcached: MemcachedServer) -> None:
    with Proxy(memcached) as proxy:
        store = store_at(proxy.location, timeout=3)
        proxy.delay(0.5)

        async def scenario() -> None:
            # Some are served, and others have waited too long for a thread.
            outcomes = await asyncio.gather(*(store.read(KEY) for _ in range(500)), return_exceptions=True)
            assert None in outcomes
            reasons = {str(outcome) for outcome in outcomes if isinstance(outcome, BaseException)}
            assert all("in use" in reason for reason in reasons)
            assert not store.node(KEY).breaker.is_open

        asyncio.run(scenario())
        store.close()


def test_event_loop_goes_on_while_a_server_is_slow(memcached: MemcachedServer) -> None:
    with Proxy(memcached) as proxy:
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


def test_cancelled_task_leaves_no_half_answer_and_costs_no_connection(memcached: MemcachedServer) -> None:
    with Proxy(memcached) as proxy:
        store = store_at(proxy.location)

        async def scenario() -> None:
            await store.insert(KEY, payload(V1), 60, V1)
            await store.insert(OTHER, payload(V2), 60, V2)
            await asyncio.gather(*(store.read(OTHER) for _ in range(20)))
            connections = proxy.connections
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
            assert proxy.connections <= max(connections, 16)

        asyncio.run(scenario())
        store.close()
