"""What the server says is an answer, or a lost connection, or shows a wrong setting: never one for the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from psycopg import pq

from django_multisession.bridge import run_sync
from django_multisession.deadline import Operation
from django_multisession.exceptions import StoreRefused, StoreUnavailable
from django_multisession.runtime import Event, reset
from django_multisession.stores.postgresql.pipeline import Statement
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.testing.drive import Drive
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from tests.databases import database
from tests.stores.postgresql.helpers import BACKEND, KEY, backends, both_colours, fill, new, query, store_at


@contextmanager
def locked(server: PostgreSQLServer, sql: LiteralString, *values: str) -> Iterator[None]:
    """Hold what a statement locks."""
    with psycopg.connect(server.url) as other:
        other.execute(sql, values)
        yield
        other.rollback()


@contextmanager
def changed(alias: str, name: str = "changed", **changes: Any) -> Iterator[PostgreSQLStore]:
    """Give a store at the same server with other entries in DATABASES."""
    with database({**connections[alias].settings_dict, **changes}, name, migrate=False) as other:
        store = store_at(other)
        yield store
        store.close()


# Answers.


@both_colours
def test_locked_row_is_an_answer_in_time(drive: Drive, store: PostgreSQLStore, postgresql_server: Any) -> None:
    key, version, payload = new()
    drive(store.insert(key, payload, 60, version))
    with locked(postgresql_server, "SELECT 1 FROM multisession_record WHERE key = %s FOR UPDATE", key):
        with pytest.raises(StoreRefused, match="SQLSTATE 55P03"):
            drive(store.replace(key, payload, 60, version, new()[1]))
        assert drive(store.read(key)) is not None
    assert not store.breaker.is_open
    assert drive(store.replace(key, payload, 60, version, version)) == version


@both_colours
def test_read_only_server_refuses_writes_and_is_read(drive: Drive, alias: str, store: PostgreSQLStore) -> None:
    [key] = fill(store, 1, 60)
    with changed(alias, OPTIONS={"options": "-c default_transaction_read_only=on"}) as standby:
        for _ in range(3):
            with pytest.raises(StoreRefused, match=r"read-only: DATABASES\['changed'\] must name the primary"):
                drive(standby.delete(key))
            assert drive(standby.read(key)) is not None
        assert not standby.breaker.is_open


def test_missing_privilege_names_what_to_grant(alias: str, store: PostgreSQLStore) -> None:
    with changed(alias, OPTIONS={"assume_role": "pg_monitor"}) as poor:
        with pytest.raises(StoreRefused, match="needs SELECT, INSERT, UPDATE and DELETE on multisession_record"):
            run_sync(poor.read(KEY))
        assert not poor.breaker.is_open


def test_cancelled_and_serialization_failures_are_answers(store: PostgreSQLStore) -> None:
    raise_error = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{}'; END $$"
    backend = run_sync(store._run(BACKEND)).rows
    for sqlstate in ("40001", "40P01", "57014", "53100", "XX000"):
        with pytest.raises(StoreRefused, match=f"SQLSTATE {sqlstate}"):
            run_sync(store._run(Statement(raise_error.format(sqlstate))))
    assert run_sync(store._run(BACKEND)).rows == backend  # the connection is used on


def test_slow_statement_is_ended_by_the_server(alias: str, store: PostgreSQLStore) -> None:
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        run_sync(store._run(Statement("SELECT pg_sleep(60)::text")))
    assert not store.breaker.is_open  # a probe was answered
    until(
        lambda: (
            not query(
                alias,
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = "
                "'active' AND pid <> pg_backend_pid()",
            )
        )
    )


# Lost connections.


@both_colours
def test_ended_connection_may_be_asked_for_once_more(drive: Drive, alias: str, store: PostgreSQLStore) -> None:
    backend = drive(store._run(BACKEND)).rows[0][0].decode()
    query(alias, f"SELECT pg_terminate_backend({backend}, 1000)")

    async def read_twice() -> None:
        with Operation():
            with pytest.raises(StoreUnavailable, match="SQLSTATE 57P01") as lost:
                await store.read(KEY)
            assert lost.value.retryable
            assert await store.read(KEY) is None

    drive(read_twice())


def test_full_server_is_a_lost_connection() -> None:
    few = PostgreSQLServer("-c", "max_connections=4", "-c", "superuser_reserved_connections=0")
    with few as server, database(server.location, "full") as full, ExitStack() as others:
        store = store_at(full)
        connections[full].close()
        for _ in range(4):
            others.enter_context(psycopg.connect(server.url))
        with pytest.raises(StoreUnavailable, match="too many connections") as unavailable:
            run_sync(store.read(KEY))
        assert not isinstance(unavailable.value, StoreRefused)


# Wrong settings.


@both_colours
@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"PASSWORD": "wrong"}, r"Correct USER and PASSWORD of DATABASES\['changed'\]"),
        ({"USER": "nobody-here", "PASSWORD": "wrong"}, r"Correct USER and PASSWORD of DATABASES\['changed'\]"),
        ({"PASSWORD": ""}, r"Correct USER and PASSWORD of DATABASES\['changed'\]"),
        ({"NAME": "elsewhere"}, r"Correct NAME of DATABASES\['changed'\]"),
        ({"HOST": "no-such-host.invalid"}, r"Correct HOST of DATABASES\['changed'\]"),
        ({"OPTIONS": {"hosts": "x"}}, r"DATABASES\['changed'\] has parameters that libpq does not know.*\"hosts\""),
    ],
    ids=["password", "user", "no-password", "database", "host", "parameter"],
)
def test_wrong_setting_is_named_and_is_no_outage(
    drive: Drive, alias: str, changes: dict[str, Any], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    reset(Event.TEST)  # a host that has been found once is not misspelt
    with changed(alias, **changes) as store:
        for _ in range(3):
            with pytest.raises(ImproperlyConfigured, match=remedy) as mistaken:
                drive(store.read(KEY))
            assert "not-a-secret" not in str(mistaken.value)
        assert not store.breaker.is_open


# Crowds.

needs_cancel = pytest.mark.skipif(pq.version() < 170000, reason="libpq 17 brought a cancel with a limit")


@needs_cancel
def test_locked_table_leaves_the_servers_other_connections_alone(own_alias: str, server: PostgreSQLServer) -> None:
    store = store_at(own_alias, max_connections=3)

    def refused(_: int) -> str:
        with pytest.raises(StoreUnavailable) as unavailable:
            run_sync(store.read(KEY))
        return str(unavailable.value)

    with locked(server, "LOCK TABLE multisession_record"), ThreadPoolExecutor(12) as threads:
        waiting = [threads.submit(refused, number) for number in range(12)]
        most = 0
        while not all(one.done() for one in waiting):
            most = max(most, backends(own_alias))
        reasons = [one.result() for one in waiting]
    assert 1 <= most <= 3
    assert not store.breaker.is_open
    assert all("locked" in reason or "are in use" in reason for reason in reasons)
    assert run_sync(store.read(KEY)) is None
    store.close()


@needs_cancel
def test_aborted_requests_cost_few_connections(own_alias: str) -> None:
    store = store_at(own_alias, max_connections=3)
    seen: set[bytes] = set()

    async def abort() -> None:
        for number in range(100):
            task = asyncio.create_task(store._run(BACKEND))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for _ in range(20):
            seen.add((await store._run(BACKEND)).rows[0][0])

    [(before,)] = query(own_alias, "SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
    asyncio.run(abort())
    assert len(seen) <= 3
    until(lambda: backends(own_alias) == 0)
    [(after,)] = query(own_alias, "SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
    assert after - before <= 6


@needs_cancel
def test_aborted_request_that_still_waits_is_cancelled_when_its_connection_is_needed(
    alias: str, postgresql_server: Any
) -> None:
    store = store_at(alias, timeout=20, max_connections=1)

    async def abort() -> None:
        await store.read(KEY)
        with locked(postgresql_server, "LOCK TABLE multisession_record"):
            task = asyncio.create_task(store.read(KEY))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await store._run(BACKEND)).affected == 1
            await asyncio.to_thread(until, lambda: not waiting_for_locks(postgresql_server))

    asyncio.run(asyncio.wait_for(abort(), 8))  # lock_timeout would end it after 9.9 s


def waiting_for_locks(server: PostgreSQLServer) -> bool:
    with psycopg.connect(server.url) as other:
        return bool(other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall())


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
