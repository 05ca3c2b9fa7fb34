"""Behind PgBouncer in transaction mode: nothing that is set for us is met by another client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import pq

from django_multisession.bridge import run_sync
from django_multisession.exceptions import StoreRefused, StoreUnavailable
from django_multisession.stores.postgresql.pipeline import Statement
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.testing.drive import Drive
from django_multisession.testing.servers.pgbouncer import PgBouncerServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from tests.databases import database
from tests.stores.postgresql.helpers import BACKEND, KEY, both_colours, fill, new, store_at
from tests.stores.postgresql.test_answers import locked, until, waiting_for_locks
from tests.timing import late

SETTINGS = Statement("SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), current_user::text")
AS_THE_SERVER_HAS_THEM = ("0", "0", "multisession")


@contextmanager
def pooled(upstream: PostgreSQLServer, *lines: str) -> Iterator[PgBouncerServer]:
    if PgBouncerServer.available():
        pytest.skip(str(PgBouncerServer.available()))
    with PgBouncerServer(*lines, upstream=upstream) as pooler:
        yield pooler


@pytest.fixture
def pooler(postgresql_server: PostgreSQLServer) -> Iterator[PgBouncerServer]:
    """One server connection for all clients."""
    with pooled(postgresql_server, "default_pool_size = 1") as pooler:
        yield pooler


@pytest.fixture
def alias(pooler: PgBouncerServer, postgresql_server: PostgreSQLServer) -> Iterator[str]:
    with database(postgresql_server.location, "direct"), database(pooler.location, migrate=False) as alias:
        yield alias


@pytest.fixture
def store(alias: str) -> Iterator[PostgreSQLStore]:
    store = store_at(alias, pooler="transaction")
    yield store
    store.close()


def settings_of_another_client(pooler: PgBouncerServer) -> Any:
    with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as other:
        return other.execute(SETTINGS.sql).fetchone()


@both_colours
def test_pooler_that_is_not_declared_is_named(drive: Drive, alias: str) -> None:
    store = store_at(alias)
    with pytest.raises(ImproperlyConfigured, match=r"Set OPTIONS of the session's entry to .'pooler': 'transaction'."):
        drive(store.read(KEY))
    assert not store.breaker.is_open


@both_colours
def test_limits_hold_and_leak_to_nobody(drive: Drive, store: PostgreSQLStore, pooler: PgBouncerServer) -> None:
    for _ in range(3):
        assert drive(store._run(SETTINGS)).rows == [(b"400ms", b"600ms", b"multisession")]
        assert settings_of_another_client(pooler) == AS_THE_SERVER_HAS_THEM


def test_assumed_role_leaks_to_nobody(pooler: PgBouncerServer, alias: str) -> None:
    settings = {**pooler.location, "OPTIONS": {"assume_role": "pg_monitor"}}
    with database(settings, "assuming", migrate=False) as assuming:
        store = store_at(assuming, pooler="transaction")
        assert run_sync(store._run(SETTINGS)).rows == [(b"400ms", b"600ms", b"pg_monitor")]
        assert settings_of_another_client(pooler) == AS_THE_SERVER_HAS_THEM
        store.close()


def test_refused_statement_leaves_the_server_connection_to_others(
    store: PostgreSQLStore, pooler: PgBouncerServer
) -> None:
    with pytest.raises(StoreRefused, match="SQLSTATE 22012"):
        run_sync(store._run(Statement("SELECT (1/0)::text")))
    assert settings_of_another_client(pooler) == AS_THE_SERVER_HAS_THEM
    assert run_sync(store.read(KEY)) is None


@both_colours
def test_locked_row_is_an_answer(drive: Drive, alias: str, postgresql_server: PostgreSQLServer) -> None:
    store = store_at(alias, pooler="transaction", timeout=4.0)
    key, version, payload = new()
    drive(store.insert(key, payload, 60, version))
    with (
        locked(postgresql_server, "SELECT 1 FROM multisession_record WHERE key = %s FOR UPDATE", key),
        pytest.raises(StoreRefused, match="SQLSTATE 55P03"),
    ):
        drive(store.replace(key, payload, 60, version, version))
    assert drive(store.read(key)) is not None
    store.close()


@pytest.mark.parametrize("prepare", [True, False])
def test_statements_go_from_one_server_connection_to_the_next(
    postgresql_server: PostgreSQLServer, alias: str, prepare: bool
) -> None:
    with (
        pooled(postgresql_server, "default_pool_size = 3", "server_round_robin = 1") as pooler,
        database(pooler.location, "round", migrate=False) as round_robin,
    ):
        store = store_at(round_robin, pooler="transaction", prepare=prepare, timeout=10)
        keys = fill(store, 5, 60)

        async def read(times: int) -> set[bytes]:
            for _ in range(times):
                assert None not in await asyncio.gather(*(store.read(key) for key in keys))
            return {row.rows[0][0] for row in await asyncio.gather(*(store._run(BACKEND) for _ in range(30)))}

        assert len(asyncio.run(read(20))) > 1  # what one server connection has prepared, another one has not
        store.close()


@pytest.mark.skipif(pq.version() < 170000, reason="libpq 17 brought a cancel with a limit")
def test_abandoned_statement_is_cancelled_through_the_pooler(alias: str, postgresql_server: PostgreSQLServer) -> None:
    store = store_at(alias, timeout=20, max_connections=1, pooler="transaction")

    async def abort() -> None:
        await store.read(KEY)
        with locked(postgresql_server, "LOCK TABLE multisession_record"):
            task = asyncio.create_task(store.read(KEY))
            await asyncio.to_thread(until, lambda: waiting_for_locks(postgresql_server))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert (await store._run(BACKEND)).affected == 1  # over the server's only connection
            assert not await asyncio.to_thread(waiting_for_locks, postgresql_server)

    asyncio.run(asyncio.wait_for(abort(), 8))


@both_colours
def test_hung_pooler_is_bounded_then_back(drive: Drive, store: PostgreSQLStore, pooler: PgBouncerServer) -> None:
    assert drive(store.read(KEY)) is None
    with pooler.paused():
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            drive(store.read(KEY))
        assert time.monotonic() - started < late(0.5 + 0.1)
    time.sleep(0.3)
    assert drive(store.read(KEY)) is None


@both_colours
@pytest.mark.parametrize("options", [{}, {"pool": {"min_size": 1, "max_size": 2}}], ids=["", "psycopgs-pool"])
def test_djangos_connection_is_shared(drive: Drive, pooler: PgBouncerServer, alias: str, options: Any) -> None:
    if options:
        pytest.importorskip("psycopg_pool")
    with database({**pooler.location, "OPTIONS": options}, "shared", migrate=False) as shared:
        store = store_at(shared, connection="shared")
        key, version, payload = new()
        assert drive(store.insert(key, payload, 60, version)) == version
        assert drive(store.read(key)) == (payload, version)
        assert drive(store.exists([key])) == {key}
        assert drive(store.delete(key, version))
        own = store_at(shared, pooler="transaction")  # takes no notice of the pool
        assert drive(own.read(key)) is None
        own.close()
    if options:  # Django keeps the pool by alias, for the whole process
        DatabaseWrapper._connection_pools.pop("shared").close()  # type: ignore[attr-defined]  # not in the stubs


@both_colours
def test_server_that_is_gone_behind_the_pooler_is_a_lost_connection(
    drive: Drive, server: PostgreSQLServer, caplog: pytest.LogCaptureFixture
) -> None:
    direct = database(server.location, "direct")
    with pooled(server) as pooler, direct, database(pooler.location, migrate=False) as alias:
        store = store_at(alias, pooler="transaction")
        assert drive(store.read(KEY)) is None
        server.kill()
        with pytest.raises(StoreUnavailable) as raised:
            drive(store.read(KEY))
        assert not isinstance(raised.value, StoreRefused)
        assert "connection lost (SQLSTATE 08P01)" in caplog.text
        store.close()
