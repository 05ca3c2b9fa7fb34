"""Further entries of DATABASES, for as long as a test needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connections

from django_multisession.stores.aliases import create_table, on_connection


def sqlite(directory: Path, **options: Any) -> dict[str, Any]:
    """Return the settings of an SQLite database in WAL mode."""
    options = {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF", **options}
    name = directory / "sessions.sqlite3"
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}


@contextmanager
def database(settings: Mapping[str, Any], alias: str = "sessions", *, migrate: bool = True) -> Iterator[str]:
    """Add an entry to DATABASES and make our table there; yield its alias.

    Where pytest-django blocks databases, use it under ``django_db_blocker.unblock()``.
    """
    entries = connections.configure_settings({"default": {}, alias: dict(settings)})
    connections.settings[alias] = entries[alias]
    try:
        if migrate:
            create_table(alias)
        yield alias
    finally:
        # The connections of this thread, and of the one that serves all event loops.
        _forget(alias)
        asyncio.run(on_connection(partial(_forget, alias)))
        del connections.settings[alias]


def _forget(alias: str) -> None:
    connections[alias].close()
    del connections[alias]
