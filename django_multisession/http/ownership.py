"""The owner of a named session: with ENDS_WITH_LOGIN, it ends when its user logs out or another user logs in.

Such a session stores the id of the user for whom it was last saved. When it is loaded, that is compared with the
request's user, since a login may expire, without a logout, before the next user comes. A visitor's session has no
owner. It becomes that of the user who logs in, so that a cart is kept.

The signals of django.contrib.auth are noted without I/O, also for sessions that the request has not opened but whose
cookie it brought. These end, or get their owner, with the response. See decisions.md, D36.
"""

from typing import Any, NamedTuple

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from ..bridge import driven
from ..conf import GUARDED
from ..exceptions import StoreUnavailable
from ..sessions.base import MultisessionBase
from ..sessions.server import ServerSession
from ..sessions.turn import preload
from .passwords import is_current

_USER = "_auth_user_id"


class LeftSession(NamedTuple):
    """A session that a logout has left, and that ends with the response."""

    was_loaded: bool
    """Whether it was loaded by then, so that its cookie's options are known."""


class Ownership:
    """The owner of one session, compared with the user of its request."""

    is_to_be_adopted = False
    """Whether a login in this request makes this visitor's session the user's."""
    left: LeftSession | None = None
    """The session that a logout in this request has left, None without one."""

    def __init__(self, session: MultisessionBase, request: HttpRequest) -> None:
        self._session = session
        self._request = request

    @property
    def _owner(self) -> str | None:
        """The id of the user for whom the session was last saved; None if it is not loaded, or a visitor's."""
        return self._session.cookie_changes().owner

    async def shown(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the loaded data; if they are another user's, end the session and return an empty one's."""
        owner, session = self._owner, self._session
        user = None if owner is None else await self.user()
        if user is None or user == owner:
            return data
        nothing: dict[str, Any] = {}
        session._session_cache = nothing
        if driven():
            session.flush()
        else:
            await session.aflush()
        return session._session_cache

    async def claim(self) -> bool:
        """Make the request's user the owner of a session that is about to be saved; a visitor changes nothing.

        Return whether a visitor's session has become the user's. One whose key came with the request does not if the
        login is outdated: requests of the user that bring the same key would be led to it (sessions/adoption.py).
        """
        try:
            user = await self.user()
        except StoreUnavailable:
            return False  # the user is not known; this session must not be lost for that
        if user is None:
            return False
        session, was_a_visitors = self._session, self._owner is None
        was_brought = isinstance(session, ServerSession) and session.brought_key is not None
        if was_a_visitors and was_brought and not (self.is_to_be_adopted or await self._is_current()):
            return False
        session.cookie_changes().set_owner(user)
        return was_a_visitors

    async def settle(self) -> None:
        """Load the session if a user has logged in: that ends another user's; a visitor's is marked as modified.

        So the response saves it, and claim() makes the user its owner.
        """
        session = self._session
        if not self.is_to_be_adopted:
            return
        try:
            await preload(session)
        except StoreUnavailable:
            return  # which the session remembers
        if session.session_key is not None and self._owner is None and not session.is_empty():
            session.modified = True

    def leave(self) -> None:
        """Let the session end with the response; what is written from now on is a new session. No I/O."""
        session = self._session
        if self.left is None:
            self.left = LeftSession(hasattr(session, "_session_cache"))
        session._session_cache = {}
        session.modified = True

    def take_written(self) -> dict[str, Any]:
        """Return what was written since leave(), and make the session the one that was left again, to end it."""
        if self.left is None:
            return {}
        session = self._session
        written = session._session_cache
        if self.left.was_loaded:
            session._session_cache = {}
        else:
            del session._session_cache
        self.left = None
        return written

    async def current_user(self) -> str | None:
        """Return the id of the request's user, None also if the login is outdated: the database is asked."""
        user = await self.user()
        return user if user is not None and await self._is_current() else None

    async def _is_current(self) -> bool:
        default: Any = self._request.session
        accessed = default.accessed
        data = {key: default.get(key) if driven() else await default.aget(key) for key in GUARDED}
        default.accessed = accessed
        return await is_current(data)

    async def user(self) -> str | None:
        """Return the id of the request's user; None if nobody is logged in. May raise StoreUnavailable."""
        default: Any = getattr(self._request, "session", None)
        if not isinstance(default, SessionBase):
            return None
        accessed = default.accessed
        user: str | None = default.get(_USER) if driven() else await default.aget(_USER)
        default.accessed = accessed  # the page depends on the user only if it accesses a session
        return user


def follow_logins() -> None:
    """Connect to the signals of django.contrib.auth for logins and logouts."""
    user_logged_in.connect(_logged_in, dispatch_uid="django_multisession.http.ownership")
    user_logged_out.connect(_logged_out, dispatch_uid="django_multisession.http.ownership")


def _logged_in(request: Any, **kwargs: Any) -> None:
    for ownership in _of_the_user(request):
        ownership.is_to_be_adopted = True


def _logged_out(request: Any, **kwargs: Any) -> None:
    leave_all(request)


def leave_all(request: Any) -> None:
    """After a logout: let each session of a request that ends with the login end with the response."""
    default, sessions = getattr(request, "session", None), getattr(request, "sessions", None)
    if sessions is not None:
        sessions.has_logged_out = True
    if isinstance(default, ServerSession):
        default.is_logged_out = True
    for ownership in _of_the_user(request):
        ownership.leave()


def _of_the_user(request: Any) -> list[Ownership]:
    # The request of the test client's login() has not passed our middleware.
    found = getattr(getattr(request, "sessions", None), "of_the_user", None)
    return [] if found is None else [ownership for session in found() if (ownership := ownership_of(session))]


def ownership_of(session: SessionBase) -> Ownership | None:
    """Return the Ownership of a session; None for one that does not end with the login."""
    found = session.ownership if isinstance(session, MultisessionBase) else None
    return found if isinstance(found, Ownership) else None
