"""What is particular to the db store; what every store promises is in the contract suite."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.core.management import call_command
from django.db import Error, OperationalError, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg import IsolationLevel

from django_multisession import runtime
from django_multisession.bridge import iterate, run_sync
from django_multisession.codec import Header
from django_multisession.deadline import Operation
from django_multisession.exceptions import SessionTooLarge, StoreRefused, StoreUnavailable
from django_multisession.models import SessionRecord
from django_multisession.sessions.loading import session_class
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.db import DatabaseStore
from django_multisession.stores.postgresql import PostgreSQLStore
from django_multisession.stores.sqlite import sqlite_problems
from django_multisession.testing.drive import driving
from django_multisession.testing.servers.mariadb import MariaDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from tests.databases import database, sqlite
from tests.processes import call_with_django, fresh_processes
from tests.stores.helpers import read_where_the_connection_was_lost
from tests.system import outage_views

Drive = Callable[[Coroutine[Any, Any, Any]], Any]

KEY = "ab" * 20


def new(body: bytes = b"body") -> tuple[bytes, bytes]:
    """Return a version, and a payload that carries it."""
    version = secrets.token_bytes(8)
    return version, Header.new(version, 1, 2, 3, 4).pack(b"kid.") + body


@pytest.fixture(autouse=True)
def _databases_allowed(django_db_blocker: Any) -> Iterator[None]:
    runtime.reset(runtime.Event.TEST)  # an alias is another database in each test
    with django_db_blocker.unblock():
        yield


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """Run coroutines in either colour; the asynchronous ones in one loop."""
    with driving(request.param, lambda: None) as drive:
        yield drive


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def alias(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The alias of a database with our table."""
    settings = sqlite(tmp_path)
    if request.param != "sqlite":
        settings = request.getfixturevalue(f"{request.param}_server").location
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
    with pytest.raises(ImproperlyConfigured, match=r"LOCATION is 'elsewhere'.*one of 'default'"):
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


# Answers, in transactions and outside.


def test_locked_sqlite_is_an_answer(tmp_path: Path) -> None:
    settings = sqlite(tmp_path, timeout=0.1)
    with database(settings) as alias, closing(sqlite3.connect(settings["NAME"])) as other:
        store = DatabaseStore(StoreOptions(location=alias))
        version, payload = new()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreRefused, match="IMMEDIATE"):
            run_sync(store.insert(KEY, payload, 60, version))
        assert run_sync(store.read(KEY)) is None  # WAL: readers go on
        assert not store.breaker.is_open
        other.rollback()
        assert run_sync(store.insert(KEY, payload, 60, version)) == version


@contextmanager
def locked(settings: dict[str, Any]) -> Iterator[None]:
    """Hold a lock on the only record, over a connection of its own."""
    with database(settings, "locking", migrate=False) as other, transaction.atomic(using=other):
        assert SessionRecord.objects.using(other).select_for_update().get().key
        yield
        transaction.set_rollback(True, using=other)


IMPATIENT = {
    "postgresql": {"options": "-c lock_timeout=100ms"},
    "mariadb": {"init_command": "SET innodb_lock_wait_timeout=1"},
}


@pytest.fixture(params=IMPATIENT)
def impatient(request: pytest.FixtureRequest) -> Iterator[str]:
    """The alias of a database whose statements soon give up waiting for a lock."""
    location = request.getfixturevalue(f"{request.param}_server").location
    with database({**location, "OPTIONS": IMPATIENT[request.param]}) as alias:
        yield alias
        SessionRecord.objects.using(alias).all().delete()


def test_locked_row_is_an_answer(drive: Drive, impatient: str) -> None:
    store = DatabaseStore(StoreOptions(location=impatient))
    version, payload = new()
    drive(store.insert(KEY, payload, 60, version))
    with locked(connections[impatient].settings_dict):
        with pytest.raises(StoreRefused, match="locked for too long"):
            drive(store.replace(KEY, payload, 60, version, version))
        assert drive(store.read(KEY)) is not None
    assert not store.breaker.is_open


def test_refusal_in_a_transaction_is_the_databases_own_error(impatient: str) -> None:
    store = DatabaseStore(StoreOptions(location=impatient))
    version, payload = new()
    run_sync(store.insert(KEY, payload, 60, version))
    other = "cd" * 20
    with locked(connections[impatient].settings_dict):
        with transaction.atomic(using=impatient):
            run_sync(store.insert(other, payload, 60, version))
            with pytest.raises(OperationalError) as refused, transaction.atomic(using=impatient):
                run_sync(store.replace(KEY, payload, 60, version, version))
            cause = refused.value.__cause__
            assert cause is not None
            assert getattr(cause, "sqlstate", None) == "55P03" or cause.args[0] == 1205
            assert run_sync(store.read(other)) is not None  # the connection is the same
        assert run_sync(store.read(other)) is not None


def test_touch_that_is_refused_is_dropped_but_for_a_transaction(impatient: str, settings: Any) -> None:
    """Inside of one, what was refused has a say in all that follows."""
    settings.SESSION_ENGINE = "django_multisession.engines.db"
    settings.MULTISESSION = {"default": {"LOCATION": impatient, "TIMEOUT": 10.0}}

    class Later(session_class("default")):  # type: ignore[misc]  # made by the settings
        def clock(self) -> float:
            return float(super().clock()) + 13 * 86400  # a touch is due by then

    session = session_class("default")()
    session["a"] = 1
    session.save()
    with locked(connections[impatient].settings_dict):
        touched = Later(session.session_key)
        assert touched["a"] == 1
        touched.save()
        with pytest.raises(OperationalError), transaction.atomic(using=impatient):
            touched.save()


@pytest.mark.parametrize("shared", ["db", "postgresql"])
def test_connection_lost_in_a_transaction_is_unavailable_and_not_tried_again(
    shared: str, postgresql_server: PostgreSQLServer
) -> None:
    with database(postgresql_server.location) as alias:
        options = StoreOptions(location=alias, options={"connection": "shared"} if shared == "postgresql" else {})
        store = PostgreSQLStore(options) if shared == "postgresql" else DatabaseStore(options)
        with transaction.atomic(using=alias), Operation():
            end_connection(alias, postgresql_server)
            with pytest.raises(StoreUnavailable) as unavailable:
                run_sync(store.read(KEY))
            assert not isinstance(unavailable.value, StoreRefused)
            assert not unavailable.value.retryable
            with pytest.raises(Error):  # not a new connection, whose statements would be committed
                connections[alias].cursor()
            transaction.set_rollback(True, using=alias)
        connections[alias].close()
        assert run_sync(store.read(KEY)) is None
        assert not store.breaker.is_open


def end_connection(alias: str, server: PostgreSQLServer) -> None:
    """Have the server end Django's connection."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    with psycopg.connect(server.url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 1000)", [backend])


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_repeatable_read_shows_what_was_changed_meanwhile(server: str, request: pytest.FixtureRequest) -> None:
    location = request.getfixturevalue(f"{server}_server").location
    level = "repeatable read" if server == "mariadb" else IsolationLevel.REPEATABLE_READ
    with database({**location, "OPTIONS": {"isolation_level": level}}) as alias:
        store = DatabaseStore(StoreOptions(location=alias))
        version, payload = new()
        run_sync(store.insert(KEY, payload, 60, version))
        later, theirs = new(b"theirs")
        latest, ours = new(b"ours")

        def change() -> bytes | None:
            try:
                return run_sync(store.replace(KEY, theirs, 60, version, later))
            finally:
                connections.close_all()

        try:
            with transaction.atomic(using=alias):
                assert run_sync(store.read(KEY)) == (payload, version)
                with ThreadPoolExecutor(1) as thread:
                    assert thread.submit(change).result() == later
                assert run_sync(store.read(KEY)) == (payload, version)
                if server == "postgresql":  # says so itself, at once
                    with pytest.raises(OperationalError) as refused, transaction.atomic(using=alias):
                        run_sync(store.replace(KEY, ours, 60, version, latest))
                    assert refused.value.__cause__.sqlstate == "40001"  # type: ignore[union-attr]  # psycopg's
                    return
                assert run_sync(store.replace(KEY, ours, 60, version, latest)) is None
                assert run_sync(store.read(KEY)) == (theirs, later)
                assert run_sync(store.replace(KEY, ours, 60, later, latest)) == latest
            assert run_sync(store.read(KEY)) == (ours, latest)
        finally:
            SessionRecord.objects.using(alias).all().delete()


def test_read_only_standby_refuses_writes_and_is_read(drive: Drive, postgresql_server: PostgreSQLServer) -> None:
    with database(postgresql_server.location, "primary"):
        options = {"options": "-c default_transaction_read_only=on"}
        with database({**postgresql_server.location, "OPTIONS": options}, migrate=False) as alias:
            store = DatabaseStore(StoreOptions(location=alias))
            with pytest.raises(StoreRefused, match="must name the primary"):
                drive(store.delete(KEY))
            assert drive(store.read(KEY)) is None
            assert not store.breaker.is_open


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("engine", ["db", "postgresql"])
def test_pages_that_read_go_on_with_a_read_only_standby(
    postgresql_server: PostgreSQLServer, settings: Any, engine: str, every: bool
) -> None:
    settings.SESSION_ENGINE = f"django_multisession.engines.{engine}"
    settings.MIDDLEWARE = ["django_multisession.middleware.SessionMiddleware"]
    settings.ROOT_URLCONF = outage_views.__name__
    settings.SESSION_SAVE_EVERY_REQUEST = every
    own = {"OPTIONS": {"connection": "own"}} if engine == "postgresql" else {}
    client = Client()
    with database(postgresql_server.location, "primary"):
        settings.MULTISESSION = {"default": {"LOCATION": "primary", **own}}
        assert client.get("/save/").status_code == 200
        options = {"options": "-c default_transaction_read_only=on"}
        with database({**postgresql_server.location, "OPTIONS": options}, migrate=False) as alias:
            settings.MULTISESSION = {"default": {"LOCATION": alias, **own}}
            assert client.get("/load/").content == b"1"
            refused = client.get("/save/")
            assert (refused.status_code, dict(refused.cookies)) == (503, {})
            assert client.get("/load/").content == b"1"


def test_session_above_the_servers_packet_is_too_large(drive: Drive) -> None:
    if MariaDBServer.available():
        pytest.skip(str(MariaDBServer.available()))
    with MariaDBServer("--max-allowed-packet=1M") as server, database(server.location, "small") as alias:
        store = DatabaseStore(StoreOptions(location=alias))
        for size in (1, 3):  # it answers the one, and closes the connection at the other
            with pytest.raises(SessionTooLarge, match="max_allowed_packet"):
                drive(store.insert(KEY, bytes(size * 1024 * 1024), 60, b"12345678"))
        assert drive(store.read(KEY)) is None


@pytest.mark.parametrize(
    ("server", "changes"),
    [
        ("postgresql", {"PASSWORD": "wrong"}),
        ("postgresql", {"NAME": "elsewhere"}),
        ("mariadb", {"PASSWORD": "wrong"}),
        ("mariadb", {"NAME": "test_elsewhere"}),
    ],
)
def test_wrong_setting_is_named(drive: Drive, server: str, changes: dict[str, str], request: Any) -> None:
    location = request.getfixturevalue(f"{server}_server").location
    wrong = database({**location, **changes}, "changed", migrate=False)
    with wrong as alias, pytest.raises(ImproperlyConfigured, match=r"Correct .* of DATABASES\['changed'\]"):
        drive(DatabaseStore(StoreOptions(location=alias)).read(KEY))


# Outages.


@pytest.mark.parametrize("server_class", [PostgreSQLServer, MariaDBServer])
def test_restarted_server_costs_nothing_but_a_second_attempt(drive: Drive, server_class: Any) -> None:
    if server_class.available():
        pytest.skip(str(server_class.available()))
    with server_class() as server, database(server.location) as alias:
        store = DatabaseStore(StoreOptions(location=alias))
        assert drive(store.read(KEY)) is None
        server.restart()
        drive(read_where_the_connection_was_lost(store))
        server.kill()
        with pytest.raises(StoreUnavailable):
            drive(store.read(KEY))
        assert store.breaker.is_open


# Concurrency.

CHANGES = 40


def _change(location: str) -> None:
    """Append to the record so often, each time on top of what the others made of it."""
    store = DatabaseStore(StoreOptions(location=location, timeout=60))
    is_atomic = connections[location].settings_dict["ATOMIC_REQUESTS"]
    try:
        for _ in range(CHANGES):
            with transaction.atomic(using=location) if is_atomic else nullcontext():
                while not _append(store):
                    pass
    finally:
        connections.close_all()


def _append(store: DatabaseStore) -> bool:
    record = run_sync(store.read(KEY))
    assert record is not None
    version, payload = new()
    payload += record.payload[len(payload) - 4 :] + b"."
    return run_sync(store.replace(KEY, payload, 600, record.token, version)) is not None


def _change_in_process(settings: dict[str, Any]) -> None:
    with database(settings, migrate=False) as alias:
        _change(alias)


@pytest.mark.slow
def test_concurrent_changes_of_threads_are_not_lost(alias: str, store: DatabaseStore) -> None:
    with kept_changes(store), ThreadPoolExecutor(8) as threads:
        list(threads.map(_change, [alias] * 8))


@pytest.mark.slow
def test_concurrent_changes_of_processes_are_not_lost(alias: str, store: DatabaseStore) -> None:
    with kept_changes(store):
        change_in_processes(alias)


@pytest.mark.slow
@pytest.mark.parametrize(("journal", "atomic"), [("WAL", True), ("DELETE", False), ("DELETE", True)])
def test_processes_on_sqlite_wait_for_one_another(tmp_path: Path, journal: str, atomic: bool) -> None:
    options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": f"PRAGMA journal_mode={journal}"}
    with database({**sqlite(tmp_path), "OPTIONS": options, "ATOMIC_REQUESTS": atomic}) as alias:
        assert not sqlite_problems(alias)
        with kept_changes(DatabaseStore(StoreOptions(location=alias))):
            change_in_processes(alias)


@contextmanager
def kept_changes(store: DatabaseStore) -> Iterator[None]:
    """Assert that all changes made inside are there at the end."""
    version, payload = new(b"")
    run_sync(store.insert(KEY, payload + b"body", 600, version))
    yield
    record = run_sync(store.read(KEY))
    assert record is not None
    assert record.payload.count(b".", len(payload)) == 8 * CHANGES


def change_in_processes(alias: str) -> None:
    """Have eight processes change the record."""
    settings = connections[alias].settings_dict
    connections.close_all()
    call = (__name__, _change_in_process.__name__, settings)
    context = fresh_processes()
    processes = [context.Process(target=call_with_django, args=call) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8


# Inspection.


def test_inspection_tells_version_and_clock(drive: Drive, store: DatabaseStore) -> None:
    inspection = drive(store.inspect())
    assert inspection.version[0].isdigit()
    assert inspection.time == pytest.approx(time.time(), abs=5)


def test_inspection_tells_what_makes_sqlite_wait(tmp_path: Path) -> None:
    settings = {**sqlite(tmp_path), "OPTIONS": {}, "ATOMIC_REQUESTS": True}
    with database(settings) as alias:
        problems = run_sync(DatabaseStore(StoreOptions(location=alias)).inspect()).problems
    assert "IMMEDIATE" in problems[0]
    assert ["journal_mode" in problem for problem in problems] == [False, True]
