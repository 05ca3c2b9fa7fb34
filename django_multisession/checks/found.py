"""Functions that several checks use: the sessions and their kinds, and how to make messages."""

from collections.abc import Callable, Iterator

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import DEFAULT, names, problems
from ..sessions.base import MultisessionBase
from ..sessions.cookie import CookieSession
from ..sessions.loading import session_class
from ..sessions.server import ServerSession
from ..stores.base import Store

DJANGOS_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"


def sessions() -> Iterator[tuple[str, type[MultisessionBase]]]:
    """Yield the name and class of each session of ours with a right entry; check_sessions() reports the others."""
    try:
        configured = names()
    except ImproperlyConfigured:
        return
    for name in configured:
        try:
            found = session_class(name)
        except ImproperlyConfigured:
            continue
        if issubclass(found, MultisessionBase) and not problems(name):
            yield name, found


def default_is_foreign() -> bool:
    """Tell whether SESSION_ENGINE is not one of our engines."""
    try:
        return not issubclass(session_class(DEFAULT), MultisessionBase)
    except ImproperlyConfigured:
        return False  # E003 says why


def store_of(session: type[MultisessionBase]) -> Store | None:
    """Return the store of a session on a server, without I/O; None for other sessions, and for wrong settings."""
    try:
        return session.records().store if issubclass(session, ServerSession) else None
    except (ImproperlyConfigured, ImportError):
        return None


def is_kept_by(store: Store | None, backend: str) -> bool:
    """Tell whether a store's class, or a base of it, is in stores/<backend>; importing that could need a library."""
    home = f"django_multisession.stores.{backend}"
    return any(f"{kind.__module__}.".startswith(f"{home}.") for kind in type(store).__mro__)


def in_cookies(session: type[MultisessionBase]) -> bool:
    """Tell whether a session is kept in its cookie."""
    return issubclass(session, CookieSession)


def has_our_middleware() -> bool:
    """Tell whether MIDDLEWARE has ours, or a subclass of it."""
    return any(_is_ours(path) for path in settings.MIDDLEWARE)


def _is_ours(path: str) -> bool:
    try:
        return bool(getattr(import_string(path), "applies_cookie_options", False))
    except ImportError:
        return False  # Django reports it


def attempt(number: str, look: Callable[[], object]) -> Iterator[checks.CheckMessage]:
    """Yield an error if look() raises ImproperlyConfigured or ImportError."""
    try:
        look()
    except (ImproperlyConfigured, ImportError) as problem:
        yield error(number, str(problem))


def error(number: str, sentence: str, hint: str | None = None) -> checks.CheckMessage:
    """Return an error of Django's checks; ``number`` is such as E001."""
    return checks.Error(sentence, hint=hint, id=f"multisession.{number}")


def warning(number: str, sentence: str, hint: str | None = None) -> checks.CheckMessage:
    """Return a warning; ``number`` is such as W001."""
    return checks.Warning(sentence, hint=hint, id=f"multisession.{number}")


def advice(number: str, sentence: str, hint: str | None = None) -> checks.CheckMessage:
    """Return an information; ``number`` is such as I001."""
    return checks.Info(sentence, hint=hint, id=f"multisession.{number}")


def entry_of(name: str) -> str:
    """Return a session's entry as it is written in the settings."""
    return f"MULTISESSION[{name!r}]"


Messages = list[checks.CheckMessage]
Found = Iterator[checks.CheckMessage]
