"""The checks that do I/O: for the engines' table, for Django's sessions that nobody reads, and for a wrong Redis.

Django runs them for ``check --database`` and ``migrate``.
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
    if allowed and sys.argv[1:2] == ["check"]:  # not for migrate and test
        yield from _check_servers()


def is_migrating() -> bool:
    """Tell whether manage.py migrate runs the check."""
    # By the command line, since Django does not tell. migrate runs the checks before it creates the table.
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
    """Tell whether the default session has a FALLBACK that reads Django's table."""
    fallback = entry(DEFAULT).fallback
    return fallback is not None and fallback.entry.engine in _ON_DJANGOS_TABLE and fallback.until > timezone.now()


def _check_djangos_sessions(allowed: Sequence[str]) -> Found:
    """Check that Django's table has no live sessions: code that lists or deletes them has no effect on ours."""
    if not apps.is_installed("django.contrib.sessions"):
        return
    from django.contrib.sessions.models import Session

    alias = router.db_for_read(Session)
    if alias not in allowed:
        return
    try:
        # One index lookup.
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
