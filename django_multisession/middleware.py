"""The middleware: it opens a request's sessions on demand, saves them together, and answers an outage with 503."""

from collections.abc import Awaitable
from typing import Any, ClassVar, cast

from django.conf import global_settings, settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from .bridge import run_sync
from .checks import refuse
from .conf import DEFAULT
from .deadline import request_budget
from .exceptions import StoreUnavailable
from .http.error_reports import ExceptionReporterFilter
from .http.finish import finish, interrupted
from .http.outage_logout import leads_to_logout
from .http.ownership import follow_logins
from .http.sessions import Sessions, open_session, preloaded
from .http.unavailable import Outage, log_once
from .runtime import cached
from .sessions.base import MultisessionBase
from .sessions.turn import preload

_DJANGOS_FILTER = global_settings.DEFAULT_EXCEPTION_REPORTER_FILTER
_reporter_filter = ExceptionReporterFilter()


class SessionMiddleware(DjangoSessionMiddleware):
    """Django's SessionMiddleware, for any number of sessions and in the colour of the request.

    If a store does not answer, the response is a 503, and the session's cookie stays as it is; see http/finish.py.
    With settings that sessions cannot work with, it does not start (ImproperlyConfigured): gunicorn runs no checks.
    """

    applies_cookie_options: ClassVar[bool] = True

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        refuse()
        log_once()
        follow_logins()

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        budget = request_budget()
        try:
            self.process_request(request)
            response = run_sync(_preload(request)) if preloaded() else None
            if response is None:
                response = cast(HttpResponse, self.get_response(request))
            return self.process_response(request, response)
        finally:
            if budget is not None:
                budget.close()

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        budget = request_budget()
        try:
            self.process_request(request)
            response: HttpResponseBase | None = await _preload(request) if preloaded() else None
            if response is None:
                response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
            return await self.aprocess_response(request, response)
        finally:
            if budget is not None:
                budget.close()

    def process_request(self, request: HttpRequest) -> None:
        """Attach request.session and request.sessions; nothing is read yet."""
        if _takes_our_filter():
            request.exception_reporter_filter = _reporter_filter
        request.session = open_session(request, DEFAULT)
        request.sessions = Sessions(request)  # type: ignore[attr-defined]  # the attribute that we add

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save what was modified, and set or delete the cookies."""
        opened = _opened(request)
        return cast(HttpResponse, run_sync(finish(request, response, opened))) if opened else response

    async def aprocess_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """See process_response(); a subclass that overrides one overrides both."""
        opened = _opened(request)
        return await finish(request, response, opened) if opened else response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a view's StoreUnavailable with 503, and its UpdateError with 400; leave other exceptions to others."""
        if isinstance(exception, StoreUnavailable):
            return Outage(exception)
        return interrupted(request, exception) if isinstance(exception, UpdateError) else None


async def _preload(request: HttpRequest) -> HttpResponse | None:
    for name in preloaded():
        session = _sessions(request)[name]
        try:
            await preload(session)
        except StoreUnavailable as error:
            if not leads_to_logout(request):
                return Outage(error)
    return None


@cached
def _takes_our_filter() -> bool:
    # A project's own filter is kept; it can be a subclass of ours.
    return settings.DEFAULT_EXCEPTION_REPORTER_FILTER == _DJANGOS_FILTER


def _sessions(request: HttpRequest) -> Sessions:
    # A subclass' process_request() may have set request.session only.
    sessions: Sessions | None = getattr(request, "sessions", None)
    return Sessions(request) if sessions is None else sessions


def _opened(request: HttpRequest) -> list[SessionBase]:
    """Return the sessions that the response may have to save or to set cookies for; none if none was accessed."""
    sessions = _sessions(request)
    if not sessions.has_named and not settings.SESSION_SAVE_EVERY_REQUEST:
        session = getattr(request, "session", None)
        if isinstance(session, SessionBase) and not (session.accessed or session.modified or _ends(session)):
            # But an empty session counts if the request brought cookies: its cookie must be deleted.
            return [] if session.session_key or not request.COOKIES else [session]
    return sessions.opened()


def _ends(session: SessionBase) -> bool:
    return isinstance(session, MultisessionBase) and session.ends
