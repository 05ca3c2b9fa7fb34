"""An outage as visitors and logs see it: 503 for each request, and one line in the log for the store."""

import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import get_language_from_request, override

from ..breaker import report
from ..exceptions import StoreUnavailable
from .outage_logout import is_forgotten

RETRY_AFTER = 5
"""Seconds after which a visitor should try again."""


def unavailable(request: HttpRequest, error: StoreUnavailable) -> HttpResponse:
    """Return the response for a request that cannot reach its session, in HTML or JSON by its Accept header.

    It says whether the login is kept, or was lost by a logout. With DEBUG it also gives the reason.
    """
    report(error)
    response: HttpResponse
    logged_out, reason = is_forgotten(request), str(error) if settings.DEBUG else None
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        said = {"error": "Sessions are unavailable just now. Try again shortly.", "logged_out": logged_out}
        response = JsonResponse(said if reason is None else {**said, "reason": reason})
    else:
        brought = getattr(getattr(request, "session", None), "brought_key", None) is not None
        language = _language(request)
        try:
            with override(language):
                context = {"language": language, "logged_out": logged_out, "brought": brought, "reason": reason}
                page = loader.render_to_string("503_sessions.html", context)
            response = HttpResponse(page)
        except TemplateDoesNotExist:
            response = HttpResponse("Unavailable just now. Try again shortly.", content_type="text/plain")
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER)
    response.headers["Cache-Control"] = "no-store"
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django's log_response() looks for it
    return response


def _language(request: HttpRequest) -> str:
    """Return the language of the request: that of LocaleMiddleware, if it is used."""
    if any(dotted.endswith(".LocaleMiddleware") for dotted in settings.MIDDLEWARE):
        found: str | None = getattr(request, "LANGUAGE_CODE", None)  # not set yet if preloading a session has failed
        return found or get_language_from_request(request)
    language: str = settings.LANGUAGE_CODE
    return language


class Outage(HttpResponse):
    """Stands for the response of a view that has met an outage, until finish() makes the page."""

    status_code = 503

    def __init__(self, error: StoreUnavailable) -> None:
        super().__init__()
        self.error = error
        self._has_been_logged = True  # Django's log_response() looks for it


class _Once(logging.Filter):
    """Drops Django's log entries for outages: each request would log, and mail, a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, StoreUnavailable):
            return True
        report(error)
        return False


_once = _Once()


def log_once() -> None:
    """Make Django's logger of failed requests leave outages to report()."""
    logging.getLogger("django.request").addFilter(_once)
