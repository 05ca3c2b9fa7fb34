"""System checks: they find wrong settings before a request does.

They use the same functions as the errors at run time. The default session is checked if SESSION_ENGINE is an engine of
ours or a subclass of one. For servers that run no checks, such as gunicorn, the middleware calls refuse(), so that it
does not start with an error of check_settings().

- **multisession.E001**: MULTISESSION is no dictionary.
- **multisession.E002**: an entry has an unknown key, a wrong value, or a name that is none.
- **multisession.E003**: an engine cannot be imported (an extra may be missing), or is none of ours.
- **multisession.E004**: the engine refuses its LOCATION, OPTIONS or ENCRYPT, or a key needs an extra or the registry.
- **multisession.E005**: MERGE names a function that cannot be imported.
- **multisession.E006**: SERIALIZER or SESSION_SERIALIZER cannot be imported.
- **multisession.E007**: two sessions have the same cookie name, or one the name of the other's chunk.
- **multisession.E008**: browsers would refuse a session's cookie for its attributes.
- **multisession.E009**: an engine keeps its records in a table, and django_multisession is not in INSTALLED_APPS.
- **multisession.E010**: SESSION_COOKIE_AGE is no number of seconds.
- **multisession.E011**: a session's cookie has the name of one of Django's own.
- **multisession.E012**: the server at LOCATION is a node of a Redis Cluster, or a sentinel (a database check).
- **multisession.E020**: a setting of the registry is wrong (registry/checks.py).
- **multisession.E021**: a cookie with REVOCABLE could not be revoked everywhere at once (registry/checks.py).
- **multisession.E022**: a limit of logins is for cookies that cannot be revoked (registry/checks.py).
- **multisession.E023**: users and the registry are written to two databases (registry/checks.py).
- **multisession.W002**: the table is missing (a database check: ``check --database ALIAS``).
- **multisession.W003**: the cookies of all sessions together can pass what servers accept in a header.
- **multisession.W004**: MULTISESSION["default"] means nothing, as SESSION_ENGINE is none of ours.
- **multisession.W005**: there are named sessions, and no middleware of ours.
- **multisession.W006**: LOCATION, or another key of an entry, means nothing to the engine.
- **multisession.W007**: a cache shares a session's Redis database or memcached, and cache.clear() empties it.
- **multisession.W008**: Django's own session table has live sessions that nobody reads (a database check).
- **multisession.W030**: sessions on an SQLite database whose settings let requests at once fail, not wait.
- **multisession.W050**: a FALLBACK ends within 14 days.
- **multisession.W051**: a FALLBACK is over, and to be removed.
- **multisession.W052**: a FALLBACK loads pickles.
- **multisession.W053**: ``manage.py migratesessions`` is another package's.
- **multisession.I002**, **I003**: where a site stands that has a FALLBACK, and what comes next.
- **multisession.W009**: the tables of the registry are missing (a database check; registry/checks.py).
- **multisession.W010**: the registry knows of no login, as SESSION_ENGINE is none of ours (registry/checks.py).

With ``--deploy``, for every session:

- **multisession.W003**: as above, for a single cookie too.
- **multisession.W020**, **W021**, **W022**: the cookie lacks Secure, HttpOnly, or a SameSite of Lax or Strict.
- **multisession.W023**: KEYS has a secret of fewer than 32 characters.
- **multisession.W024**: GUARD is empty though a package with a second factor or hijacked logins is installed.
- **multisession.W025**, **W026**: the session is in memory; logins are on memcached.
- **multisession.W027**, **W028**: the server is elsewhere and reached without TLS, or its certificate is not verified.
- **multisession.W029**: error reports can show session keys.
- **multisession.I001**: the cookie could have the prefix ``__Host-``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from ..conf import names
from ..runtime import cached
from .caches import check_caches
from .cookies import check_names, check_sizes
from .deployment import check_deployment
from .found import Messages, error
from .moving import check_moves
from .sessions import check_sessions
from .tables import check_databases

__all__ = ["check_deploy", "check_settings", "check_tables", "refuse", "refuse_also"]

_others: list[Callable[[], Messages]] = []


def check_settings(app_configs: object = None, **kwargs: Any) -> Messages:
    """Check MULTISESSION, and everything that its entries and SESSION_ENGINE name."""
    try:
        names()
    except ImproperlyConfigured as problem:
        return [error("E001", str(problem))]
    return [*check_sessions(), *check_names(), *check_sizes(), *check_caches(), *check_moves()]


def check_tables(app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any) -> Messages:
    """Check that the given databases have the tables of the engines that use them."""
    return list(check_databases(databases))


def check_deploy(app_configs: object = None, **kwargs: Any) -> Messages:
    """Check what endangers sessions in production."""
    return list(check_deployment())


def refuse_also(check: Callable[[], Messages]) -> None:
    """Make refuse() also raise for the errors of another app's check, which must do no I/O."""
    if check not in _others:
        _others.append(check)


@cached
def refuse() -> None:
    """Raise ImproperlyConfigured for the first error of the checks, without I/O; warnings are ignored.

    For what starts without the checks, such as the middleware under gunicorn.
    """
    for message in [*check_settings(), *(message for check in _others for message in check())]:
        if message.level >= checks.ERROR:
            raise ImproperlyConfigured(f"{message.msg} {message.hint or ''}".rstrip())
