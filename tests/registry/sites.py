"""A database of its own for users and the registry, where threads, tasks and processes can write at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connections

from django_multisession.models import SessionRecord
from django_multisession.registry.models import PendingDeletion, RegisteredSession, RegisteredUser
from tests.databases import database, sqlite

ALIAS = "registry"
MODELS: list[Any] = [
    ContentType,
    Permission,
    Group,
    User,
    LogEntry,
    RegisteredSession,
    RegisteredUser,
    PendingDeletion,
]
LABELS = {model._meta.app_label for model in MODELS}


class Router:
    """Sends users and the registry to the database of ALIAS."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return ALIAS if model._meta.app_label in LABELS else None

    db_for_write = db_for_read

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True


ROUTER = f"{__name__}.{Router.__qualname__}"


@contextmanager
def registry_database(settings: Mapping[str, Any], *, makes: bool = True) -> Iterator[None]:
    """Add the database, with its tables, and two users of the keys 1 and 2; our own table is there, too."""
    is_file = settings["ENGINE"].endswith("sqlite3")
    if makes and is_file:
        Path(settings["NAME"]).write_bytes(_template())
    with database(settings, ALIAS, migrate=False):
        made = [] if is_file or not makes else _make()
        try:
            yield
        finally:
            if made:
                with connections[ALIAS].schema_editor() as editor:
                    for model in reversed(made):
                        editor.delete_model(model)


@cache
def _template() -> bytes:
    """Return an SQLite database as it is to begin with: to make the tables costs as much as a test."""
    with TemporaryDirectory() as directory:
        settings = sqlite(Path(directory))
        with database(settings, ALIAS, migrate=False):
            _make()
        return Path(settings["NAME"]).read_bytes()


def _make() -> list[Any]:
    """Make the tables that are not there, and users; return the models of those."""
    connection = connections[ALIAS]
    # On a server that tests share, the engines' own may have made our table by now.
    there = connection.introspection.table_names()
    models = [model for model in (*MODELS, SessionRecord) if model._meta.db_table not in there]
    if models:
        with connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        User.objects.using(ALIAS).bulk_create(User(pk=key, username=f"user {key}") for key in (1, 2))
    return models
