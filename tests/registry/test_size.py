"""A large registry: a user's sessions are one query by an index, and a purge goes in batches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_multisession.registry import sessions_of
from django_multisession.registry.models import RegisteredSession
from django_multisession.registry.purging import purge
from tests.logins.conftest import Site
from tests.logins.site import VICTIM
from tests.registry.sites import ALIAS
from tests.registry.test_databases import in_memory, in_sync, registry_settings  # noqa: F401 - a fixture

OF_A_USER = 20


def made(count: int, users: int) -> Iterator[dict[str, Any]]:
    """Yield what differs of the rows of users in turn, every tenth of them expired."""
    now = timezone.now()
    later, earlier = (_ready(expires_at=now + timedelta(days=days)) for days in (1, -1))
    for number in range(count):
        yield {
            **_ready(public_id=uuid.UUID(int=number), authenticated_at=now - timedelta(seconds=number)),
            **(later if number // users % 10 else earlier),
            "storage_key": f"{number:040x}",
            "user_id": 1 + number % users,
        }


def write(rows: Iterator[dict[str, Any]]) -> None:
    """Insert rows, a thousand in a statement; through the ORM a million of them take many minutes."""
    connection: Any = connections[ALIAS]
    now = timezone.now()
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
    texts = {"previous_key": "", "session_name": "default", "user_agent": agent, "label": "", "external_id": ""}
    same = _ready(**texts, created_at=now, last_seen=now)
    while batch := list(islice(rows, 1000)):
        columns = [*same, *batch[0]]
        one = f"({', '.join(['%s'] * len(columns))})"
        names = ", ".join(map(connection.ops.quote_name, columns))
        table = RegisteredSession._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({names}) VALUES {', '.join([one] * len(batch))}",  # noqa: S608 - names of ours
                [value for row in batch for value in (*same.values(), *row.values())],
            )


def _ready(**values: Any) -> dict[str, Any]:
    """Return values of fields as the database takes them."""
    fields: Any = RegisteredSession._meta
    return {name: fields.get_field(name).get_db_prep_save(value, connections[ALIAS]) for name, value in values.items()}


@in_memory
@in_sync
@pytest.mark.slow
def test_large_registry_lists_by_an_index_and_purges_in_batches(site: Site, nightly: bool) -> None:
    count, batch_size = (1_000_000, 1000) if nightly else (5_000, 100)
    users = count // OF_A_USER
    User.objects.exclude(pk__in=(1, 2)).delete()
    people = (User(pk=number, username=f"user {number}") for number in range(3, users + 1))
    while batch := list(islice(people, 10_000)):
        User.objects.bulk_create(batch)
    write(made(count, users))
    connection: Any = connections[ALIAS]
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            kind = "TABLE " if connection.vendor == "mysql" else ""
            cursor.execute(f"ANALYZE {kind}{RegisteredSession._meta.db_table}")

    began = time.perf_counter()
    with CaptureQueriesContext(connection) as queries:
        found = sessions_of(User(pk=VICTIM))
    took = time.perf_counter() - began
    assert len(queries) == 1
    assert len(found) == OF_A_USER - 2
    listing = RegisteredSession.objects.filter(user=VICTIM, revoked_at=None, expires_at__gt=timezone.now())
    plan = listing.order_by("-authenticated_at", "-pk").explain()
    print(f"{connection.vendor}: {count} rows, listed in {took * 1000:.1f} ms: {plan}")  # noqa: T201 - for the docs
    assert "multisession_reg_user" in plan

    began = time.perf_counter()
    batches = list(purge(batch_size))
    print(f"{sum(batches)} rows purged in {len(batches)} batches, {time.perf_counter() - began:.1f} s")  # noqa: T201 - what the test measures
    assert sum(batches) == count // 10
    assert max(batches) == batch_size
