"""The pages of a user's devices: a list, with a button for each that signs it out.

They show only the sessions of ``request.user``; another user's are a 404. Whatever changes something is a POST with a
CSRF token, even if the project does not use CsrfViewMiddleware.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ..http.unavailable import unavailable
from .database import RegistryUnavailable
from .devices import Ended, devices_of, end, end_others, is_own_login, one_of
from .reauthentication import asked_first
from .revocable import NotRevocable

View = Callable[..., HttpResponse]


def _page(view: View) -> View:
    """Require a login and a CSRF token for a view, and keep it out of caches and other sites' frames.

    Not in a transaction (ATOMIC_REQUESTS), in which an outage would come after the response that has to report it.
    """

    @transaction.non_atomic_requests
    @wraps(view)
    @never_cache
    @xframe_options_deny
    @csrf_protect
    def kept(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            # Back to the list, and not to the requested URL, which may accept a POST only.
            return redirect_to_login(reverse("multisession:devices"))
        try:
            return view(request, *args, **kwargs)
        except RegistryUnavailable as error:
            return unavailable(request, error.outage)

    return kept


@require_safe
@_page
def devices(request: HttpRequest) -> HttpResponse:
    """Show the user's devices."""
    return _shown(request)


@require_POST
@_page
def end_one(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Sign out one device; the present one is logged out."""
    first = None if is_own_login(one_of(request, public_id)) else asked_first(request)
    return first or _ended(request, lambda: end(request, public_id))


@require_http_methods(["GET", "HEAD", "POST"])
@_page
def others(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation, then sign out all devices except this one."""
    first = asked_first(request, back="multisession:others")
    if first is not None:
        return first
    if request.method == "POST":
        return _ended(request, lambda: end_others(request))
    count = sum(not device.current for device in devices_of(request))
    return render(request, "multisession/others.html", {"others": count}) if count else redirect("multisession:devices")


def _ended(request: HttpRequest, act: Callable[[], Ended]) -> HttpResponse:
    try:
        ended = act()
    except NotRevocable:
        return _shown(request, status=409, refused=True)
    if ended.logged_out:
        return redirect(resolve_url(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL))
    if ended.pending:
        # Without a redirect: the next page may need the store that does not answer.
        return _shown(request, status=202, pending=True)
    said = ngettext("%(count)d device was signed out.", "%(count)d devices were signed out.", ended.count)
    messages.success(request, said % {"count": ended.count}, fail_silently=True)
    return redirect("multisession:devices")


def _shown(request: HttpRequest, status: int = 200, **said: bool) -> HttpResponse:
    found = list(devices_of(request))
    context = {"devices": found, "others": sum(not device.current for device in found), **said}
    return render(request, "multisession/devices.html", context, status=status)
