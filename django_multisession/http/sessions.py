"""``request.sessions``: every configured session by name, opened when it is first accessed."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from ..conf import DEFAULT, names
from ..cookies import CookieOptions, cookie_options, domain_of
from ..domains import depends_on_request
from ..runtime import cached
from ..sessions.base import MultisessionBase
from ..sessions.config import session_config
from ..sessions.loading import session_class
from ..sessions.server import ServerSession
from .ownership import Ownership
from .passwords import is_outdated

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1


class Sessions(Mapping[str, Any]):
    """The sessions of one request. ``["default"]`` is request.session, even if that was assigned anew."""

    __slots__ = ("_named", "_request", "has_logged_out")

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._named: dict[str, SessionBase] = {}
        self.has_logged_out = False
        """Whether django.contrib.auth has signalled that the user logs out."""

    @property
    def has_named(self) -> bool:
        """Whether a session other than the default one was opened."""
        return bool(self._named)

    def __getitem__(self, name: str) -> Any:
        if name == DEFAULT:
            return self._request.session
        try:
            return self._named[name]
        except KeyError:
            return self._named.setdefault(name, self._open(name))

    def _open(self, name: str) -> Any:
        if name not in names():
            raise KeyError(f"MULTISESSION has no session {name!r}; configured are {', '.join(map(repr, names()))}")
        return open_session(self._request, name)

    def __contains__(self, name: object) -> bool:
        return name in names()

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())

    def of_the_user(self) -> list[MultisessionBase]:
        """Return the sessions that end with the login: those that are open, and those whose cookie came along."""
        return [self[name] for name in _ending_with_login() if self._is_here(name)]

    def _is_here(self, name: str) -> bool:
        return name in self._named or _opening(name).store.joined(self._request.COOKIES) is not None

    def beyond_path(self) -> list[tuple[CookieOptions, int]]:
        """Return the cookies, with their CHUNKS, of sessions that end with the login and are not sent to this URL."""
        found = []
        for name in _ending_with_login():
            if not self._is_here(name):
                cookie = cookie_options(name, self._request)
                if not cookie.is_sent_to(self._request.path):
                    found.append((cookie, session_config(name).entry.chunks))
        return found

    def opened(self) -> list[SessionBase]:
        """Return the sessions that this request may have used."""
        default = getattr(self._request, "session", None)
        # A project may have replaced or removed request.session.
        return [*([default] if isinstance(default, SessionBase) else []), *self._named.values()]


@cached
def _ending_with_login() -> tuple[str, ...]:
    return tuple(name for name in names() if name != DEFAULT and session_config(name).entry.ends_with_login)


class _Opening(NamedTuple):
    """What is known about a session name before a request comes."""

    store: type[Any]
    is_ours: bool
    on_outage: str
    ends_with_login: bool = False
    needs_request: bool = False
    """Whether the domain of its cookie is a function of the request."""
    asks_for_password: bool = False
    """Whether django.contrib.auth may flush it since the login no longer fits the user's password."""


@cached
def _opening(name: str) -> _Opening:
    store = session_class(name)
    if not issubclass(store, MultisessionBase):
        return _Opening(store, False, "error")
    entry = session_config(name).entry
    return _Opening(
        store,
        True,
        entry.on_outage,
        ends_with_login=name != DEFAULT and entry.ends_with_login,
        needs_request=depends_on_request(domain_of(entry)),
        asks_for_password=name == DEFAULT and apps.is_installed("django.contrib.auth"),
    )


def open_session(request: HttpRequest, name: str) -> Any:
    """Return a request's session of this name, which is not loaded yet."""
    opening = _opening(name)
    if not opening.is_ours:
        return opening.store(request.COOKIES.get(cookie_options(name).name))
    session = opening.store(opening.store.joined(request.COOKIES))
    if session.registration is not None:
        session.registration.opened_for(request)
    if opening.needs_request:
        session.request = request
    if opening.ends_with_login:
        session.ownership = Ownership(session, request)
    if isinstance(session, ServerSession):
        session.commits_with_response = True
        if opening.asks_for_password:
            session.is_login_outdated = is_outdated
        if opening.on_outage == "anonymous" and request.method in SAFE_METHODS:
            session.may_be_anonymous = True
    return session


@cached
def preloaded() -> tuple[str, ...]:
    """Return the names of the sessions that are loaded before the view (PRELOAD)."""
    # The entry "default" counts only if SESSION_ENGINE is an engine of ours.
    ours = issubclass(session_class(DEFAULT), MultisessionBase)
    return tuple(name for name in names() if (ours or name != DEFAULT) and session_config(name).entry.preload)
