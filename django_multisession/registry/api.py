"""The devices of a user in JSON, for single-page applications: list them, end one, end all others.

A client sends the token of Django's CSRF cookie in ``X-CSRFToken``; the list sets that cookie.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from ..breaker import report
from ..http.unavailable import RETRY_AFTER
from .database import RegistryUnavailable
from .devices import Ended, devices_of, end, end_others, is_own_login, one_of
from .reauthentication import asked_first
from .revocable import NotRevocable

View = Callable[..., HttpResponse]


def _for_users(view: View) -> View:
    """Answer errors in JSON: 401 without a login, 404 for another user's session, 409 for one that cannot be revoked.

    Not in a transaction, see views.py.
    """

    @transaction.non_atomic_requests
    @wraps(view)
    @never_cache
    @ensure_csrf_cookie
    @csrf_protect
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return _error(401, "unauthenticated", _("Log in first."))
        try:
            return view(request, *args, **kwargs)
        except Http404:
            return _error(404, "not_found", _("There is no such session, or it has ended."))
        except NotRevocable as error:
            return _error(409, "not_revocable", str(error))
        except RegistryUnavailable as error:
            report(error.outage)
            response = _error(503, "unavailable", _("Nothing was changed. Try again shortly."))
            response.headers["Retry-After"] = str(RETRY_AFTER)
            return response

    return answered


@require_http_methods(["GET", "HEAD", "DELETE"])
@_for_users
def sessions(request: HttpRequest) -> HttpResponse:
    """List the user's sessions; DELETE ends all of them except the request's own."""
    if request.method != "DELETE":
        return JsonResponse({"sessions": [asdict(device) for device in devices_of(request)]})
    return _first(request) or _answer(end_others(request))


@require_http_methods(["DELETE"])
@_for_users
def session(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """End one session of the user; the request's own is logged out."""
    first = None if is_own_login(one_of(request, public_id)) else _first(request)
    return first or _answer(end(request, public_id))


def _answer(ended: Ended) -> JsonResponse:
    # 202: they are marked, but have not ended yet (RFC 9110, section 15.3.3).
    return JsonResponse(asdict(ended), status=202 if ended.pending else 200)


def _first(request: HttpRequest) -> JsonResponse | None:
    """Return a 403 with the URL of the login page, if the user must log in again first."""
    response = asked_first(request)
    if response is None:
        return None
    return _error(403, "reauthenticate", _("Log in again first."), location=response.headers.get("Location"))


def _error(status: int, code: str, text: str, **more: Any) -> JsonResponse:
    return JsonResponse({"error": code, "detail": text, **more}, status=status)
