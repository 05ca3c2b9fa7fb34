"""What is particular to the postgresql store; what all stores promise is in the contract suite."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_multisession.bridge import iterate, run_sync
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.postgresql.pipeline import Statement
from django_multisession.stores.postgresql.store import PostgreSQLStore
from django_multisession.testing.drive import Drive, SyncDrive
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from tests.databases import database, sqlite
from tests.stores.postgresql.helpers import both_colours, fill, new, query, store_at

# Settings.


def test_location_that_is_no_alias_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"LOCATION is 'elsewhere'; .* one of 'default'"):
        store_at("elsewhere")


def test_location_that_is_a_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"LOCATION is 'postgresql://example\.org/x'") as refused:
        store_at("postgresql://user:secret@example.org/x")
    assert "secret" not in str(refused.value)


def test_location_of_another_vendor_is_refused(tmp_path: Path) -> None:
    with (
        database(sqlite(tmp_path), migrate=False) as alias,
        pytest.raises(ImproperlyConfigured, match=r"LOCATION is 'sessions'; .* not sqlite"),
    ):
        store_at(alias)


@pytest.mark.parametrize(
    "options",
    [
        {"prepare": "no"},
        {"connection": "both"},
        {"max_connections": 0},
        {"max_idle": 0},
        {"pooler": "session"},
        {"host": "example.org"},
    ],
)
def test_option_that_is_not_allowed_is_named(alias: str, options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        store_at(alias, **options)


def test_assumed_role_is_assumed(postgresql_server: PostgreSQLServer) -> None:
    settings = {**postgresql_server.location, "OPTIONS": {"assume_role": "pg_monitor"}}
    with database(settings, migrate=False) as alias:
        store = store_at(alias)
        assert shown(store, "role") == b"pg_monitor"
        store.close()


def test_connection_says_who_it_is_and_limits_itself(alias: str) -> None:
    settings = {**connections[alias].settings_dict, "OPTIONS": {"options": "-c work_mem=8MB"}}
    with database(settings, "limited", migrate=False) as limited:
        store = store_at(limited)
        assert shown(store, "application_name") == b"django_multisession"
        assert shown(store, "lock_timeout") == b"400ms"
        assert shown(store, "statement_timeout") == b"600ms"
        assert shown(store, "work_mem") == b"8MB"
        store.close()


def test_name_of_the_application_is_the_projects_if_it_has_one(alias: str) -> None:
    settings = {**connections[alias].settings_dict, "OPTIONS": {"application_name": "shop"}}
    with database(settings, "named", migrate=False) as named:
        store = store_at(named)
        assert shown(store, "application_name") == b"shop"
        store.close()


def shown(store: PostgreSQLStore, setting: str) -> bytes:
    """Return what a setting of a connection of the store's is."""
    return run_sync(store._run(Statement("SELECT current_setting(%s)"), setting)).rows[0][0]


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
    if isinstance(drive, SyncDrive):  # the asynchronous colour has its thread, and thus its connection
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
