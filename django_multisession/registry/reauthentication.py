"""MULTISESSION_REAUTHENTICATE: whether users must log in again before they end sessions on their other devices."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from ..runtime import cached
from .revocation import sessions_of

SETTING: Final = "MULTISESSION_REAUTHENTICATE"

Hook = Callable[[HttpRequest], HttpResponse | None]


def problems() -> Iterator[str]:
    """Yield a sentence if the setting is wrong."""
    given = getattr(settings, SETTING, None)
    if given is None or (type(given) is int and given > 0):
        return
    try:
        if callable(import_string(given)):
            return
    except (ImportError, TypeError, AttributeError):
        pass
    yield (
        f"{SETTING} is {given!r}; it must be None, the seconds that a login may lie back, or the dotted path of "
        "f(request), which returns None to go on, or the response that asks for the password."
    )


def asked_first(request: HttpRequest, back: str = "multisession:devices") -> HttpResponse | None:
    """Return a response that must come before a user may end sessions, such as a redirect to the login; None if none.

    The login leads back to ``back``, the name of a URL. Raises ImproperlyConfigured for a wrong setting.
    """
    hook = _hook()
    if callable(hook):
        return hook(request)
    if hook is None or _has_just_logged_in(request, timedelta(seconds=hook)):
        return None
    return redirect_to_login(reverse(back))


def _has_just_logged_in(request: HttpRequest, within: timedelta) -> bool:
    user: Any = request.user
    return any(row.current and row.authenticated_at > timezone.now() - within for row in sessions_of(user, request))


@cached
def _hook() -> Hook | int | None:
    if (problem := next(problems(), None)) is not None:
        raise ImproperlyConfigured(problem)
    given = getattr(settings, SETTING, None)
    return import_string(given) if isinstance(given, str) else given
