"""Inspect a database of the project: its version, its clock, and what endangers sessions in it."""

from typing import Any

from django.db import connections

from .aliases import INSPECT_POSTGRESQL, missing_table, postgresql_problems, table_exists
from .base import Inspection
from .sqlite import sqlite_problems

_EPOCH = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
}


def inspection(alias: str) -> Inspection:
    """Return the version and the clock of a database, and what endangers sessions in it."""
    connection = connections[alias]
    vendor = connection.vendor
    with connection.cursor() as cursor:
        if vendor == "postgresql":
            cursor.execute(INSPECT_POSTGRESQL)
            row = cursor.fetchone()
            return Inspection(row[0], float(row[1]), postgresql_problems(alias, row))
        time = None
        if vendor in _EPOCH:
            cursor.execute(_EPOCH[vendor])
            time = float(cursor.fetchone()[0])
        problems = _sqlite_problems(alias, cursor) if vendor == "sqlite" else []
    if not table_exists(alias):
        problems.append(missing_table(alias))
    version = ".".join(map(str, connection.get_database_version()))
    return Inspection(version, time, tuple(problems))


def _sqlite_problems(alias: str, cursor: Any) -> list[str]:
    cursor.execute("PRAGMA journal_mode")
    problems = sqlite_problems(alias)
    if cursor.fetchone()[0] not in ("wal", "memory"):
        problems.append(
            "journal_mode is not WAL: every save makes all readers wait. Set OPTIONS of "
            f"DATABASES[{alias!r}] to {{'init_command': 'PRAGMA journal_mode=WAL'}}."
        )
    return problems
