"""System checks of the registry, registered while it is installed; the numbers are in django_multisession/checks.

- **multisession.E020**: MULTISESSION_TRUSTED_PROXIES, MULTISESSION_IP_PREFIX, MULTISESSION_REAUTHENTICATE or
  MULTISESSION_LAST_SEEN is wrong.
- **multisession.E021**: a cookie with REVOCABLE could not be revoked everywhere at once: its cache is of this process
  alone.
- **multisession.E022**: a limit of logins is for cookies that cannot be revoked.
- **multisession.E023**: users and the registry are written to two databases.
- **multisession.E024**: the middleware is not ours.
- **multisession.E025**: the database cannot insert a row unless it is there, as Oracle cannot (a database check).
- **multisession.W009**: the tables are missing (a database check).
- **multisession.W010**: logins are in sessions that are not ours, and the registry knows of none.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, connections, router

from ..checks.found import (
    Found,
    Messages,
    default_is_foreign,
    entry_of,
    error,
    has_our_middleware,
    in_cookies,
    sessions,
    warning,
)
from ..checks.tables import is_migrating
from ..conf import entry
from . import networks, policy, reauthentication, verdicts
from .database import alias, missing_tables
from .models import PendingDeletion, RegisteredSession, RegisteredUser


def check_registry(app_configs: object = None, **kwargs: Any) -> Messages:
    """Check the settings of the registry."""
    sentences = [*networks.problems(), *reauthentication.problems(), *policy.problems()]
    return [
        *(error("E020", sentence) for sentence in sentences),
        *_check_database(),
        *_check_middleware(),
        *_check_engine(),
        *_check_cookies(),
    ]


def check_tables(app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """Check that the database supports the tables and has them, if Django allows a check to ask it."""
    name = alias()
    if name not in (databases or ()):
        return []
    connection = connections[name]
    if not (connection.features.supports_ignore_conflicts and connection.features.supports_update_conflicts):
        return [
            error(
                "E025",
                f"Database {name!r} ({connection.display_name}) cannot insert a row unless it is there, which the "
                "registry needs.",
                "Keep users and the registry in PostgreSQL, MariaDB, MySQL or SQLite, or remove "
                "'django_multisession.registry' from INSTALLED_APPS.",
            )
        ]
    if is_migrating():
        return []
    try:
        with connection.cursor() as cursor:
            is_there = RegisteredSession._meta.db_table in connection.introspection.table_names(cursor)
    except (DatabaseError, InterfaceError):
        return []
    return [] if is_there else [warning("W009", f"Database {name!r}: {missing_tables(name)}")]


def _check_database() -> Found:
    """Check that users, their rows and pending deletions are in one database, for one transaction."""
    user = get_user_model()
    there = router.db_for_write(user)
    for model in (RegisteredSession, RegisteredUser, PendingDeletion):
        here = router.db_for_write(model)
        if here != there:
            yield error(
                "E023",
                f"DATABASE_ROUTERS send {model._meta.label} to {here!r} and {user._meta.label} to {there!r}. They need "
                "one database, since a row refers to its user, and both are written in one transaction.",
                f"Let db_for_write() return {there!r} for the application {model._meta.app_label!r}, and migrate that.",
            )
            return


def _check_middleware() -> Found:
    if any(True for _ in sessions()) and not has_our_middleware():
        yield error(
            "E024",
            "The registry needs our middleware, which writes rows with the response, and knows whose request it is.",
            "Put django_multisession.middleware.SessionMiddleware in the place of Django's.",
        )


def _check_engine() -> Found:
    if default_is_foreign():
        yield warning(
            "W010",
            f"The registry knows of no login: SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which is no engine of "
            "django_multisession.",
            "Set SESSION_ENGINE to one.",
        )


def _check_cookies() -> Found:
    for name, kind in sessions():
        described = entry(name)
        if not in_cookies(kind):
            continue
        if described.revocable:
            yield from (error("E021", sentence) for sentence in verdicts.problems(described))
        elif described.max_sessions_per_user is not None:
            yield error(
                "E022",
                f"{entry_of(name)}['MAX_SESSIONS_PER_USER'] needs 'REVOCABLE': True, since nobody can end a cookie "
                "otherwise.",
            )
