"""Try a session out as a visitor would use it: create it, read it, change its key and end it, each in a request.

The requests go through everything that a real one does (settings, serializer, limits, store, cookies), so that what
would fail in production fails here.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

from ..bridge import run_sync
from ..exceptions import MultisessionError
from ..http.finish import finish
from ..http.sessions import open_session
from ..sessions.base import MultisessionBase

KEY = "checksessions"
VALUE = {"number": 1, "text": "ä", "list": [True, None]}
LATER = {**VALUE, "number": 2}


class Visitor:
    """A visitor's browser, which makes requests with one session."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.cookies: dict[str, str] = {}

    def visit(self, view: Callable[[Any], Any]) -> Any:
        """Make a request in which ``view`` uses the session, and return its result; MultisessionError if that fails."""
        request = HttpRequest()
        request.method = "POST"  # with ON_OUTAGE, a GET may get an empty session
        request.META = {"SERVER_NAME": "checksessions", "SERVER_PORT": "443"}
        request.COOKIES = dict(self.cookies)
        session = open_session(request, self._name)
        result = view(session)
        response = run_sync(finish(request, HttpResponse(), [session]))
        if session.outage is not None:
            raise session.outage
        for morsel in response.cookies.values():
            if morsel["max-age"] == 0:
                self.cookies.pop(morsel.key, None)
            else:
                self.cookies[morsel.key] = morsel.value
        return result


def failures(name: str) -> Iterator[str]:
    """Try out the session of this name; yield a sentence for each failure."""
    visitor = Visitor(name)
    try:
        yield from _failures(visitor)
    except (MultisessionError, ImproperlyConfigured) as error:
        yield str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other sessions must be checked too
        first_line = str(error).strip().partition("\n")[0].rstrip(".")
        yield f"A request failed: {type(error).__name__}{first_line and f': {first_line}'}."


def _failures(visitor: Visitor) -> Iterator[str]:
    visitor.visit(_put(VALUE))
    if not visitor.cookies:
        yield "A request that used the session got no cookie."
        return
    if visitor.visit(_get) != VALUE:
        yield "What one request kept in the session, the next one did not find as it was. Is the SERIALIZER to blame?"
    before = dict(visitor.cookies)
    try:
        visitor.visit(_put(LATER, cycle=True))
        if visitor.visit(_get) != LATER:
            yield "After a change of key, as at a login, the session was not found."
    finally:
        visitor.visit(lambda session: session.flush())
    if visitor.cookies:
        yield "After a logout the browser kept the cookie."
    visitor.cookies = before
    if visitor.visit(_get_unless_in_cookies) is not None:
        yield "After a change of key and a logout the old key still leads to a session."


def _put(value: Any, cycle: bool = False) -> Callable[[Any], None]:
    def view(session: Any) -> None:
        if cycle:
            session.cycle_key()
        session[KEY] = value

    return view


def _get(session: Any) -> Any:
    return session.get(KEY)


def _get_unless_in_cookies(session: MultisessionBase) -> Any:
    # A cookie cannot be revoked: docs/security.md.
    return session.get(KEY) if hasattr(session, "records") else None
