"""System checks: what is wrong with the settings, before a request finds out.

They come from the same places as the errors at run time. The default session is checked while SESSION_ENGINE is an
engine of ours or a subclass of one.

- **multisession.E001**: MULTISESSION is no dictionary.
- **multisession.E002**: an entry has an unknown key, a wrong value, or a name that is none.
- **multisession.E003**: an engine cannot be imported (an extra may be missing), or is none of ours.
- **multisession.E004**: the engine refuses its LOCATION, OPTIONS or ENCRYPT, or needs an extra for them.
- **multisession.E005**: MERGE names a function that cannot be imported.
- **multisession.E006**: SERIALIZER or SESSION_SERIALIZER cannot be imported.
- **multisession.E007**: two sessions have the same cookie name, or one the name of the other's chunk.
- **multisession.E008**: browsers would refuse a session's cookie for its attributes.
- **multisession.W001**: an engine keeps its records in a table, and django_multisession is not in INSTALLED_APPS.
- **multisession.W002**: that table is missing (a database check: ``check --database ALIAS``, ``migrate``). A warning,
  because ``migrate`` runs the database checks before it makes the table.
- **multisession.W003**: the cookies of all sessions together can pass what servers accept in a header.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError

from .conf import DEFAULT, entry, names, problems
from .cookies import MAX_SIZE, chunk_names, cookie_options
from .sessions.base import MultisessionBase
from .sessions.cookie import CookieSession
from .sessions.loading import session_class
from .sessions.server import ServerSession
from .stores.aliases import APP, TABLE, missing_table, table_exists

MOST_COOKIES = 7000
"""Bytes of cookies that leave room for a project's other ones."""


def check_settings(app_configs: object = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check MULTISESSION, and what SESSION_ENGINE and its entries lead to."""
    try:
        configured = names()
    except ImproperlyConfigured as error:
        return [_error("E001", str(error))]
    found = [message for name in configured for message in _check_session(name)]
    return [*found, *_check_cookie_names(configured), *_check_cookie_sizes(configured)]


def check_tables(
    app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Check on the given databases that the engines that use them find their table."""
    found: list[checks.CheckMessage] = []
    for alias in dict.fromkeys(_aliases()):
        if alias not in (databases or ()) or not apps.is_installed(APP):
            continue
        try:
            missing = not table_exists(alias)
        except (DatabaseError, InterfaceError):
            continue  # checksessions says why a server cannot be reached
        if missing:
            found.append(
                checks.Warning(
                    str(missing_table(alias)),
                    hint="manage.py checksessions --prepare makes the tables of all sessions.",
                    id="multisession.W002",
                )
            )
    return found


def _check_session(name: str) -> Iterator[checks.CheckMessage]:
    if name == DEFAULT and _default_is_foreign():
        return
    sentences = problems(name)
    yield from (_error("E002", sentence) for sentence in sentences)
    if sentences:
        return
    try:
        session = session_class(name)
    except ImproperlyConfigured as error:
        yield _error("E003", str(error))
        return
    yield from (_error("E008", problem) for problem in cookie_options(name).problems())
    yield from _attempt("E004", lambda: _make(session))
    if entry(name).chunks > 1 and not issubclass(session, CookieSession):
        yield _error(
            "E004", f"MULTISESSION[{name!r}]['CHUNKS'] is for cookie engines; this session is on a server. Remove it."
        )
    yield from _attempt("E005", lambda: session.config().merge_rules)
    yield from _attempt("E006", lambda: session().serializer)
    alias = _alias(session)
    if alias is not None and not apps.is_installed(APP):
        yield checks.Warning(
            f"Session {name!r} is kept in the table {TABLE} of the database {alias!r}, and {APP!r} is not in "
            "INSTALLED_APPS: its migrations do not run.",
            hint=f"Add {APP!r} to INSTALLED_APPS.",
            id="multisession.W001",
        )


def _attempt(number: str, look: Callable[[], object]) -> Iterator[checks.CheckMessage]:
    try:
        look()
    except (ImproperlyConfigured, ImportError) as error:
        yield _error(number, str(error))


def _default_is_foreign() -> bool:
    try:
        return not issubclass(session_class(DEFAULT), MultisessionBase)
    except ImproperlyConfigured:
        return False  # E003 says why


def _make(session: type[MultisessionBase]) -> object:
    """Make what the session's settings describe, without I/O."""
    if issubclass(session, ServerSession):
        return session.records()
    return session.codec() if issubclass(session, CookieSession) else None


def _alias(session: type[Any]) -> str | None:
    """Return the key of DATABASES under which a session's table is; None without one, or with wrong settings."""
    try:
        made = session.records() if issubclass(session, ServerSession) else None
    except ImproperlyConfigured:
        return None
    return getattr(getattr(made, "store", None), "alias", None)


def _aliases() -> Iterator[str]:
    try:
        configured = names()
    except ImproperlyConfigured:
        return
    for name in configured:
        try:
            alias = _alias(session_class(name))
        except ImproperlyConfigured:
            continue
        if alias is not None:
            yield alias


def _check_cookie_sizes(configured: Iterable[str]) -> Iterator[checks.CheckMessage]:
    # Those of server-side sessions are short.
    chunks = {name: entry(name).chunks for name in configured if not problems(name) and _in_cookies(name)}
    if sum(chunks.values()) * MAX_SIZE > MOST_COOKIES:
        yield checks.Warning(
            f"The cookies of {', '.join(map(repr, chunks))} together can take {sum(chunks.values()) * MAX_SIZE} bytes. "
            "gunicorn accepts 8,190 bytes a header (limit_request_field_size) and nginx 8 kB "
            "(large_client_header_buffers): beyond that a visitor gets 4xx for every page and cannot even log out.",
            hint=f"Lower CHUNKS until all stay below {MOST_COOKIES} bytes, or raise the servers' limits.",
            id="multisession.W003",
        )


def _in_cookies(name: str) -> bool:
    try:
        return issubclass(session_class(name), CookieSession)
    except ImproperlyConfigured:
        return False  # E003 says why


def _check_cookie_names(configured: Iterable[str]) -> Iterator[checks.CheckMessage]:
    cookies: dict[str, str] = {}
    for name in configured:
        try:
            cookies[name] = cookie_options(name).name
        except ImproperlyConfigured:
            continue  # said already
    for other, name in itertools.combinations(cookies, 2):
        cookie, taken = cookies[name], cookies[other]
        if cookie in chunk_names(taken) or taken in chunk_names(cookie):
            yield _error(
                "E007",
                f"The sessions {other!r} and {name!r} have the cookies {taken!r} and {cookie!r}, and would end each "
                "other: a cookie and its chunks belong to one session.",
                f"Set MULTISESSION[{name!r}]['COOKIE']['NAME'] to another name.",
            )


def _error(number: str, sentence: str, hint: str | None = None) -> checks.CheckMessage:
    return checks.Error(sentence, hint=hint, id=f"multisession.{number}")
