"""A server that hangs, trickles, ends or is forgotten by a firewall, and callers that are late themselves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import psutil
import pytest
from django.db import connections

from django_multisession.bridge import pause, run_sync
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.testing.drive import Drive
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.proxy import Proxy
from tests.databases import database
from tests.stores.helpers import read_where_the_connection_was_lost
from tests.stores.postgresql.helpers import KEY, SLEEP, both_colours, fill, query, store_at
from tests.timing import late


@both_colours
def test_hung_server_is_bounded_then_refused_then_back(drive: Drive, server: PostgreSQLServer) -> None:
    with database(server.location) as alias:
        store = store_at(alias)
        assert drive(store.read(KEY)) is None
        with server.paused():
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="no answer in time") as unavailable:
                drive(store.read(KEY))
            assert time.monotonic() - started < late(0.5 + 0.1)
            assert not unavailable.value.retryable
            with pytest.raises(StoreUnavailable, match="a moment ago"):
                drive(store.read(KEY))
            time.sleep(0.2)
            # A probe connects anew: for 0.1 s, not libpq's 2 seconds.
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                drive(store.read(KEY))
            assert time.monotonic() - started < late(0.1)
        ends_at = time.monotonic() + 1.5
        while time.monotonic() < ends_at:
            try:
                assert drive(store.read(KEY)) is None
                break
            except StoreUnavailable:
                time.sleep(0.02)
        assert not store.breaker.is_open
        store.close()


@both_colours
def test_server_that_trickles_is_bounded_as_a_whole(drive: Drive, postgresql_server: PostgreSQLServer) -> None:
    with Proxy(postgresql_server) as proxy, database(proxy.location, "trickling") as alias:
        store = store_at(alias)
        assert drive(store.read(KEY)) is None
        proxy.trickle(0.1)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            drive(store.read(KEY))
        assert time.monotonic() - started < late(0.5 + 0.1, 3)
        store.breaker.is_open = False
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            drive(store.read(KEY))  # now it is connecting that does not end
        assert time.monotonic() - started < late(0.5 + 0.1, 3)
        store.close()


@both_colours
def test_burst_after_a_firewall_has_forgotten_idle_connections_is_served(
    drive: Drive, postgresql_server: PostgreSQLServer
) -> None:
    with Proxy(postgresql_server) as proxy, database(proxy.location, "forgotten") as alias:
        store = store_at(alias, max_idle=0.3)

        burst = [lambda: store._run(SLEEP)] * 8
        drive.together(burst)
        proxy.forget()
        drive(pause(0.4))
        drive.together(burst)
        assert not store.breaker.is_open
        store.close()


@both_colours
def test_restarted_server_costs_nothing_but_a_second_attempt(drive: Drive, server: PostgreSQLServer) -> None:
    with database(server.location) as alias:
        store = store_at(alias)
        assert drive(store.read(KEY)) is None
        connections[alias].close()
        server.restart()
        drive(read_where_the_connection_was_lost(store))
        store.close()


@both_colours
def test_absent_server_opens_the_breaker(drive: Drive, alias: str) -> None:
    settings = {**connections[alias].settings_dict, "PORT": str(free_port())}
    with database(settings, "absent", migrate=False) as absent:
        store = store_at(absent)
        with pytest.raises(StoreUnavailable) as unavailable:
            drive(store.read(KEY))
        assert store.breaker.is_open
        assert "not-a-secret" not in str(unavailable.value)


@both_colours
def test_second_host_is_tried(drive: Drive, alias: str) -> None:
    port = connections[alias].settings_dict["PORT"]
    hosts = {"HOST": "127.0.0.1,localhost", "PORT": f"{free_port()},{port}"}
    with database({**connections[alias].settings_dict, **hosts}, "two", migrate=False) as two:
        store = store_at(two)
        assert drive(store.read(KEY)) is None
        store.close()


# Where this process is late itself.


def test_busy_event_loop_is_no_silence_of_the_server(store: PostgreSQLStore) -> None:
    [key] = fill(store, 1, 60)

    async def busy() -> None:
        for connected in (False, True):
            reading = asyncio.create_task(store.read(key))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(0.8)  # noqa: ASYNC251 - it is the loop that is to be late
            assert await reading is not None, connected

    asyncio.run(busy())
    assert not store.breaker.is_open


GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent, django
from django.conf import settings
settings.configure(DATABASES={"default": eval(sys.argv[1])}, INSTALLED_APPS=["django_multisession"])
django.setup()
from django_multisession.bridge import pause, run_sync
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.postgresql.store import PostgreSQLStore
store = PostgreSQLStore(StoreOptions(options={"connection": "own"}, timeout=4.0))
def read():
    assert run_sync(store.read("ab" * 20)) is None
def busy():
    time.sleep(0.01)
    end = time.monotonic() + 2.5  # an answer has 2
    while time.monotonic() < end:
        pass
for _ in range(2):
    greenlets = [gevent.spawn(read) for _ in range(20)] + [gevent.spawn(busy)]
    gevent.joinall(greenlets, raise_error=True)
from django_multisession.stores.postgresql.pipeline import Statement
slow = [gevent.spawn(run_sync, store._run(Statement("SELECT pg_sleep(0.5)::text"))) for _ in range(10)]
started = time.monotonic()
gevent.joinall(slow, raise_error=True)
assert time.monotonic() - started < 4, "they ran one after the other"
assert not store.breaker.is_open
print("served")
"""


def test_busy_gevent_hub_is_no_silence_of_the_server(alias: str) -> None:
    pytest.importorskip("gevent")
    settings = connections[alias].settings_dict
    entry = repr({key: settings[key] for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")})
    run = subprocess.run([sys.executable, "-c", GEVENT, entry], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "served", run.stderr


# Event loops and processes.


def test_cancelled_task_leaves_no_half_answer(postgresql_server: PostgreSQLServer) -> None:
    with Proxy(postgresql_server) as proxy, database(proxy.location, "slow") as alias:
        store = store_at(alias, timeout=10, max_connections=1)
        keys = fill(store, 2, 60)
        expected = run_sync(store.read(keys[1]))

        async def cancel_and_read() -> None:
            await store.read(keys[0])
            proxy.delay(2)
            started = time.monotonic()
            reading = asyncio.create_task(store.read(keys[0]))
            await asyncio.sleep(0.05)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert time.monotonic() - started < 1.5
            proxy.delay(0)
            record = await store.read(keys[1])
            assert record == expected

        asyncio.run(cancel_and_read())
        store.close()


def test_event_loops_leave_no_socket(store: PostgreSQLStore) -> None:
    asyncio.run(store.read(KEY))
    before = psutil.Process().num_fds()
    for _ in range(200):
        asyncio.run(store.read(KEY))
    assert psutil.Process().num_fds() == before


@both_colours
def test_connections_are_bounded(drive: Drive, alias: str) -> None:
    store = store_at(alias, timeout=10, max_connections=3)
    count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()"

    drive.together([lambda: store._run(SLEEP)] * 30)
    most = query(alias, count)
    assert most == [(3,)]
    store.close()


def test_forked_child_has_connections_of_its_own(store: PostgreSQLStore) -> None:
    [key] = fill(store, 1, 60)
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if run_sync(store.read(key)) and asyncio.run(store.read(key)) else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert run_sync(store.read(key)) is not None
