"""The sessions of a request: opened on demand, saved together, and an outage answered with 503."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn, cast

from django.conf import global_settings, settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from .breaker import report
from .bridge import driven, own, run_sync
from .conf import DEFAULT, entry, names
from .cookies import cookie_options
from .deadline import request_budget
from .exceptions import StoreUnavailable
from .http import response_cookies
from .http.error_reports import ExceptionReporterFilter
from .http.unavailable import log_once, unavailable
from .runtime import cached
from .sessions.base import MultisessionBase
from .sessions.loading import session_class

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1


_DJANGOS_FILTER = global_settings.DEFAULT_EXCEPTION_REPORTER_FILTER
_reporter_filter = ExceptionReporterFilter()


class Sessions(Mapping[str, Any]):
    """``request.sessions``: every configured session by name, made when it is asked for."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._named: dict[str, SessionBase] = {}

    def __getitem__(self, name: str) -> Any:
        if name == DEFAULT:
            return self._request.session  # also when it was assigned anew
        try:
            return self._named[name]
        except KeyError:
            return self._named.setdefault(name, self._open(name))

    def _open(self, name: str) -> SessionBase:
        if name not in names():
            raise KeyError(f"MULTISESSION has no session {name!r}; configured are {', '.join(map(repr, names()))}")
        return open_session(self._request, name)

    def __contains__(self, name: object) -> bool:
        return name in names()

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())

    def opened(self) -> list[SessionBase]:
        """Return the sessions that this request may have used."""
        default = getattr(self._request, "session", None)
        # A project may have put something else there, or have taken it away.
        return [*([default] if isinstance(default, SessionBase) else []), *self._named.values()]


def open_session(request: HttpRequest, name: str) -> SessionBase:
    """Return the session of a request's cookies, unloaded."""
    store = session_class(name)
    if not issubclass(store, MultisessionBase):
        return cast(SessionBase, store(request.COOKIES.get(cookie_options(name).name)))
    session = store(store.joined(request.COOKIES))
    if entry(name).on_outage == "anonymous" and request.method in _SAFE_METHODS:
        session.may_be_anonymous = True
    return session


@cached
def _preloaded() -> tuple[str, ...]:
    # The entry of "default" is for an engine of ours only.
    ours = issubclass(session_class(DEFAULT), MultisessionBase)
    return tuple(name for name in names() if (ours or name != DEFAULT) and entry(name).preload)


class SessionMiddleware(DjangoSessionMiddleware):
    """Django's SessionMiddleware, for any number of sessions and in the colour of the request.

    Everything is encoded first; saves go to the stores next; cookies are set last, for every session that was saved,
    also when another one failed. A store that does not answer makes the response a 503 and leaves its session's
    cookie alone.
    """

    applies_cookie_options: ClassVar[bool] = True

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        log_once()

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        with request_budget():
            self.process_request(request)
            response = run_sync(_preload(request))
            if response is None:
                response = cast(HttpResponse, self.get_response(request))
            return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        with request_budget():
            self.process_request(request)
            response: HttpResponseBase | None = await _preload(request)
            if response is None:
                response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
            return await self.aprocess_response(request, response)

    def process_request(self, request: HttpRequest) -> None:
        """Attach request.session and request.sessions; nothing is read yet."""
        if settings.DEFAULT_EXCEPTION_REPORTER_FILTER == _DJANGOS_FILTER:
            # A project's own filter stays; it can be a subclass of ours.
            request.exception_reporter_filter = _reporter_filter
        request.session = open_session(request, DEFAULT)
        request.sessions = Sessions(request)  # type: ignore[attr-defined]  # the attribute that we add

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save what was modified, and set or delete the cookies."""
        return cast(HttpResponse, run_sync(_finish(request, response)))

    async def aprocess_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """See process_response(); a subclass that overrides one overrides both."""
        return await _finish(request, response)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a view's StoreUnavailable with 503 and its UpdateError with 400; other exceptions are not ours."""
        if isinstance(exception, StoreUnavailable):
            return unavailable(request, exception)
        if isinstance(exception, UpdateError):
            return cast(HttpResponse, convert_exception_to_response(_raising(exception))(request))
        return None


async def _preload(request: HttpRequest) -> HttpResponse | None:
    for name in _preloaded():
        try:
            await own(_sessions(request)[name], "preload")
        except StoreUnavailable as error:
            return unavailable(request, error)
    return None


def _sessions(request: HttpRequest) -> Sessions:
    # A subclass' process_request() may have set request.session alone.
    return getattr(request, "sessions", None) or Sessions(request)


async def _finish(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    opened = _sessions(request).opened()
    outages = [error for session in opened if (error := getattr(session, "outage", None))]
    saved: list[SessionBase] = []
    if response.status_code < 500:
        response, saved = await _store(request, response, opened)
    elif outages:
        # Also where another middleware or a template met it first.
        response = unavailable(request, outages[0])
    for session in opened:
        if session in saved:
            await response_cookies.send(request, response, session)
        elif session.is_empty():
            response_cookies.delete(request, response, session)
        if session.accessed:
            patch_vary_headers(response, ("Cookie",))
        if response.status_code < 500 and (error := getattr(session, "outage", None)):
            # A page that was made without the session, by ON_OUTAGE or by a view that expects outages.
            report(error)
            patch_cache_control(response, private=True, no_store=True)
    return response


async def _store(
    request: HttpRequest, response: HttpResponseBase, opened: list[SessionBase]
) -> tuple[HttpResponseBase, list[SessionBase]]:
    """Return the response, another one if a save failed, and the sessions whose cookie is to be sent."""
    failures: list[Exception] = []

    async def succeeds(session: SessionBase, method: str) -> bool:
        try:
            await own(session, method)
        except Exception as error:  # noqa: BLE001 - whatever it is, the cookies of the other sessions must be sent
            failures.append(error)
            return False
        return True

    ended = [session for session in opened if getattr(session, "ends", False)]
    changed = [
        session
        for session in opened
        if (session.modified or settings.SESSION_SAVE_EVERY_REQUEST)
        and session not in ended
        # Loaded, for it may be modified without that, and turn out to be gone.
        and await succeeds(session, "get_expire_at_browser_close")
        and not session.is_empty()
        and not getattr(session, "anonymous", False)
    ]
    if len(changed) + len(ended) > 1:
        for session in changed:
            if isinstance(session, MultisessionBase):
                session.prepare()
    for session in ended:
        await succeeds(session, "flush")
    saved = [session for session in changed if await succeeds(session, "save")]
    for error in failures:
        response = await _failed(request, error, alone=len(opened) == 1)
    return response, [session for session in saved if not getattr(session, "unreadable", False)]


async def _failed(request: HttpRequest, error: Exception, alone: bool) -> HttpResponseBase:
    """Return the answer to a request whose session cannot be saved; raise, as Django's does, if it is the only one."""
    if isinstance(error, StoreUnavailable):
        return unavailable(request, error)
    fail = _raising(error)
    if alone:
        fail(request)
    if driven():
        return cast(HttpResponseBase, convert_exception_to_response(fail)(request))

    async def afail(request: HttpRequest) -> NoReturn:
        fail(request)

    # On a thread, for a project's error pages may do anything.
    return await cast(Awaitable[HttpResponseBase], convert_exception_to_response(afail)(request))


def _raising(error: Exception) -> Callable[[HttpRequest], NoReturn]:
    def fail(request: HttpRequest) -> NoReturn:
        if isinstance(error, UpdateError):
            raise SessionInterrupted(
                "The request's session was deleted before the request completed. The user may have logged out in a "
                "concurrent request, for example."
            ) from error
        raise error

    return fail
