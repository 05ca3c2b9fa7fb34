"""What is particular to the db store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_multisession import deadline
from django_multisession.bridge import iterate, run_sync
from django_multisession.envelope import Header
from django_multisession.exceptions import StoreUnavailable
from django_multisession.models import SessionRecord
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.db import DatabaseStore
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from tests.databases import call_with_django, database, sqlite

Drive = Callable[[Coroutine[Any, Any, Any]], Any]

KEY = "ab" * 20


def new(body: bytes = b"body") -> tuple[bytes, bytes]:
    """Return a version, and a payload that carries it."""
    version = secrets.token_bytes(8)
    return version, Header.new(version, 1, 2, 3, 4).pack(b"kid.") + body


@pytest.fixture(autouse=True)
def _databases_allowed(django_db_blocker: Any) -> Iterator[None]:
    deadline._breakers.clear()  # an alias is another database in each test
    with django_db_blocker.unblock():
        yield


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """Run coroutines in either colour; the asynchronous ones in one loop."""
    if request.param == "sync":
        yield run_sync
        return
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(params=["sqlite", "postgresql"])
def alias(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The alias of a database with our table."""
    server = request.param == "postgresql" and request.getfixturevalue("postgresql_server")
    settings = server.location if server else sqlite(tmp_path)
    with database(settings) as alias:
        yield alias
        SessionRecord.objects.using(alias).all().delete()


@pytest.fixture
def store(alias: str) -> DatabaseStore:
    return DatabaseStore(StoreOptions(location=alias))


def expire(alias: str, key: str = KEY) -> None:
    SessionRecord.objects.using(alias).filter(key=key).update(expires_at="2001-01-01T00:00Z")


# Settings and schema.


def test_location_that_is_no_alias_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"one of 'default'.*it is 'elsewhere'"):
        DatabaseStore(StoreOptions(location="elsewhere"))


def test_options_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="takes no OPTIONS"):
        DatabaseStore(StoreOptions(options={"timeout": 1}))


@pytest.mark.usefixtures("alias")
def test_migrations_are_complete() -> None:
    call_command("makemigrations", "django_multisession", check=True, dry_run=True, verbosity=0)


def test_migrations_go_back(alias: str) -> None:
    call_command("migrate", "django_multisession", "zero", database=alias, verbosity=0)
    with connections[alias].cursor() as cursor:
        tables = connections[alias].introspection.table_names(cursor)
    assert "multisession_record" not in tables
    run_sync(DatabaseStore(StoreOptions(location=alias)).prepare())


def test_missing_table_names_migrate_and_leaves_the_breaker_closed(drive: Drive, tmp_path: Path) -> None:
    with database(sqlite(tmp_path), "untouched", migrate=False) as alias:
        store = DatabaseStore(StoreOptions(location=alias))
        for _ in range(4):
            with pytest.raises(ImproperlyConfigured, match=r"migrate .* --database untouched"):
                drive(store.read(KEY))
        assert any("migrate" in problem for problem in drive(store.inspect()).problems)
        drive(store.prepare())
        assert drive(store.read(KEY)) is None
        assert not drive(store.inspect()).problems


class _Refusing:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return False


def test_prepare_names_a_router_that_forbids(tmp_path: Path, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [_Refusing()]
    with database(sqlite(tmp_path), migrate=False) as alias:
        store = DatabaseStore(StoreOptions(location=alias))
        with pytest.raises(ImproperlyConfigured, match="DATABASE_ROUTERS"):
            run_sync(store.prepare())


# Statements and transactions.


def test_operations_are_one_statement_each(alias: str, store: DatabaseStore) -> None:
    version, payload = new()
    later, changed = new()
    counts = {}
    operations: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "insert": lambda: store.insert(KEY, payload, 60, version),
        "read": lambda: store.read(KEY),
        "replace": lambda: store.replace(KEY, changed, 60, version, later),
        "exists": lambda: store.exists([KEY]),
        "delete": lambda: store.delete(KEY, later),
    }
    for name, operation in operations.items():
        with CaptureQueriesContext(connections[alias]) as queries:
            assert run_sync(operation())
        counts[name] = len(queries)
    assert set(counts.values()) == {1}, counts


def test_taken_key_leaves_the_transaction_whole(alias: str, store: DatabaseStore) -> None:
    version, payload = new()
    with transaction.atomic(using=alias):
        assert run_sync(store.insert(KEY, payload, 60, version))
        assert run_sync(store.insert(KEY, payload, 60, version)) is None
        expire(alias)
        assert run_sync(store.insert(KEY, payload, 60, version)) == version
    assert run_sync(store.read(KEY)) == (payload, version)


def test_taken_key_without_ignored_conflicts(alias: str, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on Oracle.
    monkeypatch.setattr(type(connections[alias].features), "supports_ignore_conflicts", False)
    test_taken_key_leaves_the_transaction_whole(alias, store)


def test_rolled_back_transaction_takes_the_session_back(alias: str, store: DatabaseStore) -> None:
    version, payload = new()
    with transaction.atomic(using=alias):
        run_sync(store.insert(KEY, payload, 60, version))
        transaction.set_rollback(True, using=alias)
    assert run_sync(store.read(KEY)) is None


def test_longest_ttl_fits(drive: Drive, store: DatabaseStore) -> None:
    version, payload = new()
    assert drive(store.insert(KEY, payload, 10**18, version)) == version
    assert drive(store.read(KEY)) is not None


def test_more_keys_than_a_statement_takes(alias: str, store: DatabaseStore) -> None:
    keys = [secrets.token_hex(20) for _ in range(2500)]
    version, payload = new()
    with transaction.atomic(using=alias):
        for key in keys[::2]:
            run_sync(store.insert(key, payload, 60, version))
    assert run_sync(store.exists(keys)) == set(keys[::2])
    assert set(iterate(store.scan())) == set(keys[::2])
    assert run_sync(store.delete_many(keys)) == len(keys[::2])


def test_local_time_zone_without_tz_support_changes_nothing(alias: str, store: DatabaseStore, settings: Any) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Pacific/Auckland"
    version, payload = new()
    assert run_sync(store.insert(KEY, payload, 60, version))
    assert run_sync(store.read(KEY)) is not None
    assert run_sync(store.expired()) == 0


# Colours.


def test_synchronous_use_in_a_loop_is_refused(store: DatabaseStore) -> None:
    async def body() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            run_sync(store.read(KEY))

    asyncio.run(body())


def test_async_to_sync_uses_the_callers_transaction(alias: str, store: DatabaseStore) -> None:
    version, payload = new()
    with transaction.atomic(using=alias):
        run_sync(store.insert(KEY, payload, 60, version))
        assert async_to_sync(store.read)(KEY) == (payload, version)
        transaction.set_rollback(True, using=alias)


# Outages.


def test_locked_database_is_an_outage(tmp_path: Path) -> None:
    settings = sqlite(tmp_path, timeout=0.1)
    with database(settings) as alias, closing(sqlite3.connect(settings["NAME"])) as other:
        store = DatabaseStore(StoreOptions(location=alias))
        version, payload = new()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable) as unavailable:
            run_sync(store.insert(KEY, payload, 60, version))
        assert unavailable.value.retryable
        assert run_sync(store.read(KEY)) is None  # WAL: readers go on
        other.rollback()
        assert run_sync(store.insert(KEY, payload, 60, version)) == version


def test_restarted_server_fails_one_call_which_may_be_repeated(drive: Drive) -> None:
    if PostgreSQLServer.available():
        pytest.skip(str(PostgreSQLServer.available()))
    with PostgreSQLServer() as server, database(server.location) as alias:
        store = DatabaseStore(StoreOptions(location=alias))
        assert drive(store.read(KEY)) is None
        server.restart()
        with pytest.raises(StoreUnavailable) as unavailable:
            drive(store.read(KEY))
        assert unavailable.value.retryable
        assert drive(store.read(KEY)) is None


# Concurrency.

CHANGES = 40


def _change(location: str) -> None:
    """Append to the record so often, each time on top of what the others made of it."""
    store = DatabaseStore(StoreOptions(location=location, timeout=60))
    try:
        for _ in range(CHANGES):
            while True:
                record = run_sync(store.read(KEY))
                assert record is not None
                version, payload = new()
                payload += record.payload[len(payload) - 4 :] + b"."
                if run_sync(store.replace(KEY, payload, 600, record.version, version)):
                    break
    finally:
        connections.close_all()


def _change_in_process(settings: dict[str, Any]) -> None:
    with database(settings, migrate=False) as alias:
        _change(alias)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_concurrent_changes_are_not_lost(alias: str, store: DatabaseStore, kind: str) -> None:
    version, payload = new(b"")
    run_sync(store.insert(KEY, payload + b"body", 600, version))
    if kind == "threads":
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(_change, [alias] * 8))
    else:
        settings = connections[alias].settings_dict
        connections.close_all()
        call = (__name__, _change_in_process.__name__, settings)
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=call_with_django, args=call) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 8
    record = run_sync(store.read(KEY))
    assert record is not None
    assert record.payload.count(b".", len(payload)) == 8 * CHANGES


# Inspection.


def test_inspection_tells_version_and_clock(drive: Drive, store: DatabaseStore) -> None:
    inspection = drive(store.inspect())
    assert inspection.version[0].isdigit()
    assert inspection.time == pytest.approx(time.time(), abs=5)


def test_inspection_tells_what_makes_sqlite_wait(tmp_path: Path) -> None:
    settings = {**sqlite(tmp_path), "OPTIONS": {}, "ATOMIC_REQUESTS": True}
    with database(settings) as alias:
        problems = run_sync(DatabaseStore(StoreOptions(location=alias)).inspect()).problems
    assert ["journal_mode" in problem for problem in problems] == [True, False]
    assert "IMMEDIATE" in problems[1]
