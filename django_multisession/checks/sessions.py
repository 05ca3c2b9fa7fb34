"""Check each session by itself: its entry, its engine, and what its settings name."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..conf import DEFAULT, Entry, entry, names, problems
from ..cookies import cookie_options
from ..sessions.assembly import former_of
from ..sessions.base import MultisessionBase
from ..sessions.config import REGISTRY
from ..sessions.cookie import CookieSession
from ..sessions.loading import session_class
from ..sessions.server import ServerSession
from ..stores.aliases import APP, TABLE
from ..stores.sqlite import sqlite_problems
from .found import (
    Found,
    attempt,
    default_is_foreign,
    entry_of,
    error,
    has_our_middleware,
    in_cookies,
    is_kept_by,
    store_of,
    warning,
)

_OF_A_PLACE = ("LOCATION", "OPTIONS")
_OF_A_SERVER = (*_OF_A_PLACE, "MERGE", "ON_CONFLICT", "MAX_SIZE", "MAX_KEYS")


def check_sessions() -> Found:
    """Check every entry, and combinations of settings that are wrong together."""
    configured = names()
    for name in configured:
        yield from _check_session(name)
    age: object = settings.SESSION_COOKIE_AGE
    if not isinstance(age, int) or isinstance(age, bool) or age <= 0:
        yield error("E010", f"SESSION_COOKIE_AGE is {age!r}; it must be a whole number of seconds above 0.")
    if configured[1:] and not has_our_middleware():
        yield warning(
            "W005",
            f"MULTISESSION has the sessions {', '.join(map(repr, configured[1:]))}, but no middleware of ours is in "
            "MIDDLEWARE: there is no request.sessions, and nothing saves them.",
            "Put django_multisession.middleware.SessionMiddleware in the place of Django's.",
        )


def _check_session(name: str) -> Found:
    if name == DEFAULT and default_is_foreign():
        if DEFAULT in getattr(settings, "MULTISESSION", {}):
            yield warning(
                "W004",
                f"{entry_of(name)} means nothing: SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which is no engine of "
                "django_multisession.",
                f"Set SESSION_ENGINE to {_meant_by_default()}, or remove the entry.",
            )
        return
    sentences = problems(name)
    yield from (error("E002", sentence) for sentence in sentences)
    if sentences:
        return
    try:
        session = session_class(name)
    except ImproperlyConfigured as problem:
        yield error("E003", str(problem))
        return
    try:
        where = "SESSION_COOKIE_*" if name == DEFAULT else f"{entry_of(name)}['COOKIE'], else SESSION_COOKIE_*"
        hint = f"The settings of this cookie are {where}."
        yield from (error("E008", problem, hint) for problem in cookie_options(name).problems())
    except ImproperlyConfigured as problem:
        yield error("E008", str(problem))
    yield from attempt("E005", lambda: session.config().merge_rules)
    wrong_serializer = list(attempt("E006", lambda: session.config().serializer))
    yield from wrong_serializer or attempt("E004", lambda: _make(session))
    yield from _check_keys_of_others(name, session)
    alias = getattr(store_of(session), "alias", None)
    if alias is not None and not apps.is_installed(APP):
        yield error(
            "E009",
            f"Session {name!r} is kept in the table {TABLE} of the database {alias!r}, and {APP!r} is not in "
            "INSTALLED_APPS: its migrations do not run.",
            f"Add {APP!r} to INSTALLED_APPS.",
        )
    if alias is not None and is_kept_by(store_of(session), "db"):
        yield from (warning("W030", f"Session {name!r}: {problem}") for problem in sqlite_problems(alias))


def _check_keys_of_others(name: str, session: type[MultisessionBase]) -> Found:
    """Check for keys that this kind of engine does not have."""
    given = entry(name)
    if given.chunks > 1 and not in_cookies(session):
        yield error(
            "E004", f"{entry_of(name)}['CHUNKS'] is for cookie engines; this session is on a server. Remove it."
        )
    if given.revocable and not in_cookies(session):
        yield error(
            "E004",
            f"{entry_of(name)}['REVOCABLE'] is for cookie engines; this session is on a server, where the registry can "
            "end it anyway. Remove it.",
        )
    if given.max_sessions_per_user is not None and not apps.is_installed(REGISTRY):
        yield error(
            "E004",
            f"{entry_of(name)}['MAX_SESSIONS_PER_USER'] is {given.max_sessions_per_user}, and there is no registry "
            f"that counts logins. Add {REGISTRY!r} to INSTALLED_APPS, and migrate.",
        )
    yield from _check_keys_without_a_meaning(name, session)


def _check_keys_without_a_meaning(name: str, session: type[MultisessionBase]) -> Found:
    given, unset, store = entry(name), Entry(name), store_of(session)
    if in_cookies(session):
        # With a FALLBACK, the session may still be on a server.
        where, keys = "in its cookie", _OF_A_SERVER if given.fallback is None else _OF_A_PLACE
    elif store is not None and store.local:
        where, keys = "in this process' memory", _OF_A_PLACE
    else:
        return
    for key in keys:
        if getattr(given, key.lower()) != getattr(unset, key.lower()):
            yield warning(
                "W006",
                f"{entry_of(name)}[{key!r}] means nothing: the session lives {where}.",
                "Remove it, or choose an engine with a server.",
            )


def _meant_by_default() -> str:
    """Return the SESSION_ENGINE that the project probably meant: the ENGINE of the default entry, which is ignored."""
    given: Any = settings.MULTISESSION[DEFAULT]
    engine = given.get("ENGINE") if isinstance(given, Mapping) else None
    return repr(engine) if isinstance(engine, str) else "one, such as 'django_multisession.engines.db'"


def _make(session: type[MultisessionBase]) -> object:
    """Make the session's store or codec, without I/O, to see whether its settings are right."""
    if issubclass(session, ServerSession):
        return session.records()
    return (session.codec(), former_of(session)) if issubclass(session, CookieSession) else None
