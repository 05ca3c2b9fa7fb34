"""The devices of a user for single-page applications: list, end one, end all others, in JSON.

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
    """Answer in JSON what goes wrong: 401 without a login, 404 for what is not the user's, 409 for what cannot end.

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
    """List the sessions of the user; DELETE ends all of them but the request's own."""
    if request.method != "DELETE":
        return JsonResponse({"sessions": [asdict(device) for device in devices_of(request)]})
    return _first(request) or _answer(end_others(request))


@require_http_methods(["DELETE"])
@_for_users
def session(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """End one session of the user; the request's own by a logout."""
    first = None if is_own_login(one_of(request, public_id)) else _first(request)
    return first or _answer(end(request, public_id))


def _answer(ended: Ended) -> JsonResponse:
    # 202: it is written down that they are to end, and they have not yet (RFC 9110, section 15.3.3).
    return JsonResponse(asdict(ended), status=202 if ended.pending else 200)


def _first(request: HttpRequest) -> JsonResponse | None:
    """Return 403 with the address of the page to go to, if the user has to log in anew first."""
    response = asked_first(request)
    if response is None:
        return None
    return _error(403, "reauthenticate", _("Log in again first."), location=response.headers.get("Location"))


def _error(status: int, code: str, text: str, **more: Any) -> JsonResponse:
    return JsonResponse({"error": code, "detail": text, **more}, status=status)
