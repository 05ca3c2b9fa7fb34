"""What the tests of the postgresql store share."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.db import connections

from django_multisession.bridge import run_sync
from django_multisession.codec import Header
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.postgresql.pipeline import Statement
from django_multisession.stores.postgresql.store import PostgreSQLStore

TOTAL = 1.0
"""Seconds, the default TIMEOUT."""
KEY = "ab" * 20

both_colours = pytest.mark.parametrize("drive", ["sync", "async"], indirect=True)

SLEEP = Statement("SELECT pg_sleep(0.02)::text")
BACKEND = Statement("SELECT pg_backend_pid()::text")


def new() -> tuple[str, bytes, bytes]:
    """Return a key, a version, and a payload that carries it."""
    version = secrets.token_bytes(8)
    return secrets.token_hex(20), version, Header.new(version, 1, 2, 3, 4).pack(b"kid.") + b"body"


def store_at(alias: str, timeout: float = TOTAL, **options: Any) -> PostgreSQLStore:
    options = {"connection": "own", **options}
    return PostgreSQLStore(StoreOptions(location=alias, timeout=timeout, options=options))


def fill(store: PostgreSQLStore, count: int, ttl: int) -> list[str]:
    """Insert so many records; return their keys."""
    keys = []
    for _ in range(count):
        key, version, payload = new()
        assert run_sync(store.insert(key, payload, ttl, version))
        keys.append(key)
    return keys


def query(alias: str, sql: str) -> list[Any]:
    """Ask over Django's connection."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def backends(alias: str) -> int:
    """Return how many connections of ours the server has."""
    [(count,)] = query(alias, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'django_multisession'")
    return int(count)
