"""What is particular to the postgresql store; what all stores promise is in the contract suite."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_multisession import deadline
from django_multisession.bridge import iterate, run_sync
from django_multisession.envelope import Header
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.postgresql.connection import Statement
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.proxy import Proxy
from tests.databases import database, sqlite

Drive = Callable[[Coroutine[Any, Any, Any]], Any]

TOTAL = 1.0  # seconds, the default TIMEOUT


def new() -> tuple[str, bytes, bytes]:
    """Return a key, a version, and a payload that carries it."""
    version = secrets.token_bytes(8)
    return secrets.token_hex(20), version, Header.new(version, 1, 2, 3, 4).pack(b"kid.") + b"body"


def store_at(alias: str, timeout: float = TOTAL, **options: Any) -> PostgreSQLStore:
    options = {"connection": "own", **options}
    return PostgreSQLStore(StoreOptions(location=alias, timeout=timeout, options=options))


def fill(store: PostgreSQLStore, count: int, ttl: int) -> list[str]:
    keys = []
    for _ in range(count):
        key, version, payload = new()
        assert run_sync(store.insert(key, payload, ttl, version))
        keys.append(key)
    return keys


def query(alias: str, sql: str) -> list[Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


@pytest.fixture(autouse=True)
def _databases_allowed(django_db_blocker: Any) -> Iterator[None]:
    deadline._breakers.clear()  # an alias is another server in each test
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """Run coroutines in either colour; the asynchronous ones in one loop."""
    if request.param == "sync":
        yield run_sync
        return
    with asyncio.Runner() as runner:
        yield runner.run


both_colours = pytest.mark.parametrize("drive", ["sync", "async"], indirect=True)


@pytest.fixture
def alias(postgresql_server: PostgreSQLServer) -> Iterator[str]:
    with database(postgresql_server.location) as alias:
        yield alias


@pytest.fixture
def store(alias: str) -> Iterator[PostgreSQLStore]:
    store = store_at(alias)
    query(alias, "DELETE FROM multisession_record RETURNING key")  # other modules' sessions are on this server too
    yield store
    store.close()


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    """A server of the test's own, to be hung and ended."""
    with PostgreSQLServer() as server:
        yield server


# Settings.


def test_location_that_is_no_alias_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"one of 'default'.*it is 'elsewhere'"):
        store_at("elsewhere")


def test_location_that_is_a_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ImproperlyConfigured, match="it is a URL") as refused:
        store_at("postgresql://user:secret@example.org/x")
    assert "secret" not in str(refused.value)


def test_location_of_another_vendor_is_refused(tmp_path: Path) -> None:
    with (
        database(sqlite(tmp_path), migrate=False) as alias,
        pytest.raises(ImproperlyConfigured, match="'sessions' is sqlite"),
    ):
        store_at(alias)


@pytest.mark.parametrize(
    "options",
    [{"prepare": "no"}, {"connection": "both"}, {"max_connections": 0}, {"host": "example.org"}],
)
def test_option_that_is_not_allowed_is_named(alias: str, options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        store_at(alias, **options)


def test_assumed_role_is_assumed(postgresql_server: PostgreSQLServer) -> None:
    settings = {**postgresql_server.location, "OPTIONS": {"assume_role": "pg_monitor"}}
    with database(settings, migrate=False) as alias:
        store = store_at(alias)
        who = Statement("SELECT current_user::text")
        assert run_sync(store._run(who)).rows == [(b"pg_monitor",)]
        store.close()


# The table.


@both_colours
def test_missing_table_names_migrate_and_leaves_the_breaker_closed(drive: Drive, server: PostgreSQLServer) -> None:
    with database(server.location, "untouched", migrate=False) as alias:
        store = store_at(alias)
        for _ in range(4):
            with pytest.raises(ImproperlyConfigured, match=r"migrate .* --database untouched"):
                drive(store.read("ab" * 20))
        assert any("migrate" in problem for problem in drive(store.inspect()).problems)
        drive(store.prepare())
        drive(store.prepare())
        assert drive(store.read("ab" * 20)) is None
        store.close()


def test_table_has_one_index_and_room_for_updates(alias: str) -> None:
    [(index,)] = query(alias, "SELECT indexdef FROM pg_indexes WHERE tablename = 'multisession_record'")
    assert index.endswith("USING btree (key)")
    assert query(alias, "SELECT reloptions FROM pg_class WHERE relname = 'multisession_record'") == [
        (["fillfactor=90"],)
    ]
    assert query(
        alias,
        "SELECT attname, attstorage FROM pg_attribute"
        " WHERE attrelid = 'multisession_record'::regclass AND attstorage = 'e'",
    ) == [("payload", "e")]


def test_updates_are_heap_only(alias: str, store: PostgreSQLStore) -> None:
    key, version, payload = new()
    run_sync(store.insert(key, payload, 60, version))
    count = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{}'"
    count = count.format("multisession_record")
    [(updates_before, _)] = query(alias, count)
    for _ in range(1000):
        _, later, payload = new()
        assert run_sync(store.replace(key, payload, 60, version, later)) == later
        version = later
    store.close()  # a backend that ends reports what it counted
    for _ in range(100):
        [(updates, heap_only)] = query(alias, count)
        if updates >= updates_before + 1000:
            break
        time.sleep(0.05)
    assert heap_only >= 0.95 * updates


# Statements.


@pytest.mark.parametrize("prepare", [True, False])
@both_colours
def test_statements_work_prepared_and_not(drive: Drive, alias: str, prepare: bool) -> None:
    store = store_at(alias, prepare=prepare)
    key, version, payload = new()
    assert drive(store.insert(key, payload, 60, version)) == version
    assert [drive(store.read(key)) for _ in range(3)] == [(payload, version)] * 3
    assert drive(store.delete(key))
    store.close()


def test_lost_prepared_statements_are_done_without(store: PostgreSQLStore) -> None:
    key, version, payload = new()
    run_sync(store.insert(key, payload, 60, version))
    for _ in range(3):
        run_sync(store.read(key))
    run_sync(store._run(Statement("DEALLOCATE ALL")))
    assert run_sync(store.read(key)) == (payload, version)
    assert run_sync(store.read(key)) == (payload, version)


def test_statement_prepared_by_another_client_is_used(store: PostgreSQLStore) -> None:
    for _ in range(3):
        run_sync(store.read("ab" * 20))
    [client] = store._clients._free
    client._prepared.clear()
    assert run_sync(store.read("ab" * 20)) is None
    assert client._prepared


@both_colours
def test_longest_ttl_fits(drive: Drive, store: PostgreSQLStore) -> None:
    key, version, payload = new()
    assert drive(store.insert(key, payload, 10**18, version)) == version
    assert drive(store.read(key)) is not None


def test_purge_keeps_to_its_batches(alias: str, store: PostgreSQLStore) -> None:
    live = fill(store, 30, 60)
    fill(store, 100, 1)
    query(
        alias,
        "UPDATE multisession_record SET expires_at = now() - interval '1 hour'"
        " WHERE expires_at < now() + interval '30 s' RETURNING key",
    )
    assert run_sync(store.expired()) == 100
    counts = list(iterate(store.purge(batch_size=40)))
    assert sum(counts) == 100
    assert max(counts) <= 40
    assert set(iterate(store.scan())) == set(live)


# Outages.


@both_colours
def test_hung_server_is_bounded_then_refused_then_back(drive: Drive, server: PostgreSQLServer) -> None:
    with database(server.location) as alias:
        store = store_at(alias)
        assert drive(store.read("ab" * 20)) is None
        with server.paused():
            started = time.monotonic()
            with pytest.raises(StoreUnavailable) as unavailable:
                drive(store.read("ab" * 20))
            assert 0.4 < time.monotonic() - started < 0.8
            assert not unavailable.value.retryable
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                drive(store.read("ab" * 20))
            assert time.monotonic() - started < 0.05
            time.sleep(1.0)
            # The probe must connect anew: a quarter of the budget, not libpq's 2 seconds.
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                drive(store.read("ab" * 20))
            assert time.monotonic() - started < 0.45
        time.sleep(1.05)
        assert drive(store.read("ab" * 20)) is None
        store.close()


@both_colours
def test_restarted_server_fails_one_call_which_may_be_repeated(drive: Drive, server: PostgreSQLServer) -> None:
    with database(server.location) as alias:
        store = store_at(alias)
        assert drive(store.read("ab" * 20)) is None
        connections[alias].close()
        server.restart()
        with pytest.raises(StoreUnavailable) as unavailable:
            drive(store.read("ab" * 20))
        assert unavailable.value.retryable
        assert drive(store.read("ab" * 20)) is None
        store.close()


@both_colours
def test_absent_server_opens_the_breaker(drive: Drive, alias: str) -> None:
    settings = {**connections[alias].settings_dict, "PORT": str(free_port())}
    with database(settings, "absent", migrate=False) as absent:
        store = store_at(absent)
        again = []
        for _ in range(4):
            with pytest.raises(StoreUnavailable) as unavailable:
                drive(store.read("ab" * 20))
            again.append(unavailable.value.retryable)
        assert again == [True, True, True, False]
        assert "not-a-secret" not in str(unavailable.value)


@both_colours
def test_second_host_is_tried(drive: Drive, alias: str) -> None:
    port = connections[alias].settings_dict["PORT"]
    hosts = {"HOST": "127.0.0.1,127.0.0.1", "PORT": f"{free_port()},{port}"}
    with database({**connections[alias].settings_dict, **hosts}, "two", migrate=False) as two:
        store = store_at(two)
        assert drive(store.read("ab" * 20)) is None
        store.close()


# Event loops and processes.


def test_cancelled_task_leaves_no_half_answer(postgresql_server: PostgreSQLServer) -> None:
    with Proxy(postgresql_server) as proxy, database(proxy.location, "slow") as alias:
        store = store_at(alias, timeout=10, max_connections=1)
        keys = fill(store, 2, 60)
        expected = run_sync(store.read(keys[1]))

        async def cancel_and_read() -> None:
            await store.read(keys[0])
            proxy.delay(0.2)
            started = time.monotonic()
            reading = asyncio.create_task(store.read(keys[0]))
            await asyncio.sleep(0.05)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert time.monotonic() - started < 0.15
            proxy.delay(0)
            record = await store.read(keys[1])
            assert record == expected

        asyncio.run(cancel_and_read())
        store.close()


def test_event_loops_leave_no_socket(store: PostgreSQLStore) -> None:
    asyncio.run(store.read("ab" * 20))
    before = psutil.Process().num_fds()
    for _ in range(200):
        asyncio.run(store.read("ab" * 20))
    assert psutil.Process().num_fds() == before


def test_connections_of_a_loop_are_bounded(alias: str, store: PostgreSQLStore) -> None:
    store = store_at(alias, timeout=10, max_connections=3)
    sleeping = Statement("SELECT pg_sleep(0.02)::text")
    count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()"

    async def crowd() -> None:
        await asyncio.gather(*(store._run(sleeping) for _ in range(30)))
        most.extend(await asyncio.to_thread(_count))

    def _count() -> list[Any]:
        try:
            return query(alias, count)
        finally:
            connections.close_all()

    most: list[Any] = []
    asyncio.run(crowd())
    assert most == [(3,)]


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


# Django's connection.


@both_colours
def test_test_environment_shares_the_connection(drive: Drive, alias: str) -> None:
    store = PostgreSQLStore(StoreOptions(location=alias))
    key, version, payload = new()
    with CaptureQueriesContext(connections[alias]) as queries:
        assert drive(store.insert(key, payload, 60, version)) == version
        assert drive(store.read(key)) == (payload, version)
        assert drive(store.exists([key])) == {key}
        assert drive(store.delete(key, version))
    if drive is run_sync:  # the asynchronous colour has its thread, and thus its connection
        assert len(queries) == 4


def test_shared_connection_rolls_back_with_the_transaction(alias: str) -> None:
    store = store_at(alias, connection="shared")
    key, version, payload = new()
    with transaction.atomic(using=alias):
        run_sync(store.insert(key, payload, 60, version))
        assert run_sync(store.read(key)) is not None
        transaction.set_rollback(True, using=alias)
    assert run_sync(store.read(key)) is None


# Inspection.


@both_colours
def test_inspection_tells_version_clock_and_problems(drive: Drive, store: PostgreSQLStore) -> None:
    inspection = drive(store.inspect())
    assert inspection.version[0].isdigit()
    assert inspection.time == pytest.approx(time.time(), abs=5)
    assert [problem for problem in inspection.problems if "fsync" in problem]  # as tests run it
