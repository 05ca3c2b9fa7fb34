"""An outage as visitors and logs see it: 503 for every request, and one line in the log for the store."""

import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import get_language_from_request, override

from ..breaker import report
from ..exceptions import StoreUnavailable
from .outage_logout import is_forgotten

RETRY_AFTER = 5
"""Seconds after which a visitor who met an outage may try again."""


def unavailable(request: HttpRequest, error: StoreUnavailable) -> HttpResponse:
    """Return the answer to a request that an outage keeps from its session, in HTML or JSON by its Accept header.

    It says what has become of the login: nothing, or that the browser has lost it by a logout. With DEBUG it gives the
    reason too.
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
    """Return the language of the request, as LocaleMiddleware found it where it is used."""
    if any(dotted.endswith(".LocaleMiddleware") for dotted in settings.MIDDLEWARE):
        found: str | None = getattr(request, "LANGUAGE_CODE", None)  # not set yet where a session was preloaded
        return found or get_language_from_request(request)
    language: str = settings.LANGUAGE_CODE
    return language


class Outage(HttpResponse):
    """Stands in for the response to a view that has met an outage, until the request ends and the page is made."""

    status_code = 503

    def __init__(self, error: StoreUnavailable) -> None:
        super().__init__()
        self.error = error
        self._has_been_logged = True  # Django's log_response() looks for it


class _Once(logging.Filter):
    """Where another middleware meets the outage first, Django logs a traceback a request, and mails it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, StoreUnavailable):
            return True
        report(error)
        return False


_once = _Once()


def log_once() -> None:
    """Have Django's log of failed requests leave outages to report()."""
    logging.getLogger("django.request").addFilter(_once)
