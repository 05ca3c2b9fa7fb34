"""The checks that do I/O: the engines' table, sessions of Django's that nobody reads any more, and a wrong Redis.

Django runs them where ``check --database`` or ``migrate`` asks for databases.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from django.apps import apps
from django.db import DatabaseError, InterfaceError, router
from django.utils import timezone

from ..bridge import run_sync
from ..conf import DEFAULT, entry
from ..exceptions import MultisessionError
from ..stores.aliases import APP, missing_table, table_exists
from .found import Found, attempt, is_kept_by, sessions, store_of, warning

_ON_DJANGOS_TABLE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def check_databases(databases: Sequence[str] | None) -> Found:
    """Check those databases that Django allows a check to ask."""
    allowed = databases or ()
    if apps.is_installed(APP) and not is_migrating():
        for alias in dict.fromkeys(_aliases()):
            if alias in allowed:
                yield from _check_table(alias)
    if any(name == DEFAULT for name, _ in sessions()) and not _moves_in():
        yield from _check_djangos_sessions(allowed)
    if allowed and sys.argv[1:2] == ["check"]:  # migrate and test have nothing to do with it
        yield from _check_servers()


def is_migrating() -> bool:
    """Tell whether the check is asked by manage.py migrate."""
    # migrate checks the databases before it makes the table; Django does not tell a check who asks.
    return sys.argv[1:2] == ["migrate"]


def _aliases() -> list[str]:
    found = (getattr(store_of(session), "alias", None) for _, session in sessions())
    return [alias for alias in found if alias is not None]


def _check_table(alias: str) -> Found:
    try:
        missing = not table_exists(alias)
    except (DatabaseError, InterfaceError):
        return  # checksessions says why a server cannot be reached
    if missing:
        yield warning(
            "W002",
            f"Database {alias!r}: {missing_table(alias)}",
            "manage.py checksessions --prepare makes the tables of all sessions.",
        )


def _check_servers() -> Found:
    for _, session in sessions():
        store = store_of(session)
        if store is not None and is_kept_by(store, "redis"):
            with suppress(MultisessionError):  # checksessions says why a server cannot be reached
                yield from attempt("E012", partial(run_sync, store.inspect()))


def _moves_in() -> bool:
    """Tell whether the sessions of Django's table come to where the default session is now."""
    fallback = entry(DEFAULT).fallback
    return fallback is not None and fallback.entry.engine in _ON_DJANGOS_TABLE and fallback.until > timezone.now()


def _check_djangos_sessions(allowed: Sequence[str]) -> Found:
    """Look for sessions that code may list and delete, to no effect on those that are ours."""
    if not apps.is_installed("django.contrib.sessions"):
        return
    from django.contrib.sessions.models import Session

    alias = router.db_for_read(Session)
    if alias not in allowed:
        return
    try:
        # One look at an index.
        live = Session.objects.using(alias).filter(expire_date__gt=timezone.now()).exists()
    except (DatabaseError, InterfaceError):
        return
    if live:
        yield warning(
            "W008",
            "django.contrib.sessions has live sessions in its table, which no request reads: SESSION_ENGINE keeps them "
            "elsewhere. Their visitors have to log in again; and code that deletes Session.objects to log somebody out "
            "ends none of the sessions that are in use.",
            "To take them along, give MULTISESSION['default'] a FALLBACK (docs: moving in). To end sessions, use "
            "revoke_all() of django_multisession.registry. Once nobody needs the table any more, empty it, and remove "
            "'django.contrib.sessions' from INSTALLED_APPS if nothing else needs it.",
        )
