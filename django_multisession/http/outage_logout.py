"""A logout during an outage: the browser loses its cookie, although the session's server does not answer.

django.contrib.auth.logout() reads the user first, which raises; the cookie, and with it the login, would stay.
"""

from contextlib import suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.urls import Resolver404, ResolverMatch, resolve

from ..bridge import driven
from ..exceptions import StoreUnavailable
from ..sessions.base import MultisessionBase
from .ownership import leave_all


def is_logout(request: HttpRequest, match: ResolverMatch | None) -> bool:
    """Tell whether a request logs out through a view that is known for that.

    These are LogoutView of django.contrib.auth and of allauth, subclasses, logout_then_login(), and the admin's view.
    This is not noted in process_view(), since a synchronous one costs every request under ASGI a thread.
    """
    if match is None or not apps.is_installed("django.contrib.auth"):
        return False
    links = _logs_out_by_links(match.func)
    return links is not None and (request.method == "POST" or (links and request.method == "GET"))


def _logs_out_by_links(view: Any) -> bool | None:
    """Tell whether a view that logs out also does so by GET; None if it is no such view."""
    from django.contrib.auth.views import LogoutView, logout_then_login  # once all apps are ready

    view_class, site = getattr(view, "view_class", None), getattr(view, "admin_site", None)
    if isinstance(view_class, type) and issubclass(view_class, LogoutView):
        # Django's view does not allow GET; a project's may.
        return "get" in getattr(view, "view_initkwargs", {}).get("http_method_names", view_class.http_method_names)
    if isinstance(view_class, type) and issubclass(view_class, _allauths_view()):
        return bool(getattr(settings, "ACCOUNT_LOGOUT_ON_GET", False))
    is_plain = view is logout_then_login or (site is not None and getattr(view, "__wrapped__", None) == site.logout)
    return False if is_plain else None


def _allauths_view() -> tuple[type, ...]:
    """Return allauth's LogoutView, which is no subclass of Django's, if it is installed."""
    if not apps.is_installed("allauth.account"):
        return ()
    from allauth.account.views import LogoutView  # type: ignore[import-untyped]  # it has no types

    return (LogoutView,)


def leads_to_logout(request: HttpRequest) -> bool:
    """Tell whether a request that has not reached its view yet will log out."""
    try:
        return is_logout(request, resolve(request.path_info, getattr(request, "urlconf", None)))
    except Resolver404:
        return False


def is_logout_of_the_user(request: HttpRequest, *, in_view: bool) -> bool:
    """Tell whether a request that has met an outage is a logout, which no other site has forged.

    A view runs after CsrfViewMiddleware. Another middleware, such as LoginRequiredMiddleware, may access the user
    earlier; then the attribute that CsrfViewMiddleware sets on the request tells whether it has passed that.
    """
    return is_logout(request, request.resolver_match) and (in_view or getattr(request, "csrf_processing_done", False))


async def forget(request: HttpRequest) -> None:
    """End the default session, and those that end with it, as far as possible now; their cookies are deleted."""
    leave_all(request)
    session = getattr(request, "session", None)
    if isinstance(session, SessionBase):
        with suppress(StoreUnavailable):
            if driven():
                session.flush()
            else:
                await session.aflush()


def is_forgotten(request: HttpRequest) -> bool:
    """Tell whether the request brought a default session that the browser loses with this response."""
    session = getattr(request, "session", None)
    return isinstance(session, MultisessionBase) and session.brought_key is not None and session.is_empty()
