"""Whose a named session is: with ENDS_WITH_LOGIN, it ends at the logout and when another user logs in.

Each such session seals the id of the user that it was last saved for, and is compared with the request's user when it
is loaded: the login may have expired before the next user comes, and no logout ever told of the end. A visitor's
session has no owner, and becomes that of whoever logs in: a cart is kept.

What django.contrib.auth tells by its signals is noted without I/O, also for sessions that the request has not opened
but whose cookie it brought. They end, or are sealed, together with the response. See decisions.md, D36.
"""

from typing import Any, NamedTuple

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from ..bridge import driven
from ..exceptions import StoreUnavailable
from ..sessions.base import MultisessionBase
from ..sessions.server import ServerSession
from ..sessions.turn import preload

_USER = "_auth_user_id"


class LeftSession(NamedTuple):
    """A session that ends with the response, and whether its cookie's options are known."""

    was_loaded: bool


class Ownership:
    """Compares one session with the user of its request."""

    is_to_be_adopted = False
    """Whether a login in this request makes this visitor's session the user's."""
    left: LeftSession | None = None
    """What was there when the session was left, by a logout."""

    def __init__(self, session: MultisessionBase, request: HttpRequest) -> None:
        self._session = session
        self._request = request

    @property
    def _owner(self) -> str | None:
        """The id of the user for whom the session was saved last, as far as it is loaded."""
        return self._session.cookie_changes().owner

    async def shown(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what was loaded; nothing of a session that is another user's, which ends."""
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
        """Seal the user in a session that is about to be saved; its owner stays while nobody is logged in.

        Returns whether it was a visitor's until now.
        """
        try:
            user = await self.user()
        except StoreUnavailable:
            return False  # nobody knows who it is, and this session is not to be lost for that
        if user is None:
            return False
        was_a_visitors = self._owner is None
        self._session.cookie_changes().set_owner(user)
        return was_a_visitors

    async def settle(self) -> None:
        """Give a visitor's session to the user who has logged in; another user's ends by being loaded."""
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
        """Have the session end with the response; what is written from now on is a new one. No I/O."""
        session = self._session
        if self.left is None:
            self.left = LeftSession(hasattr(session, "_session_cache"))
        session._session_cache = {}
        session.modified = True

    def take_written(self) -> dict[str, Any]:
        """Return what was written since leave(), and have the session be the one that was left."""
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

    async def user(self) -> str | None:
        """Return the id of the request's user, None if nobody is logged in. May raise StoreUnavailable."""
        default: Any = getattr(self._request, "session", None)
        if not isinstance(default, SessionBase):
            return None
        accessed = default.accessed
        user: str | None = default.get(_USER) if driven() else await default.aget(_USER)
        default.accessed = accessed  # the page does not depend on it but through a session that it has looked at
        return user


def follow_logins() -> None:
    """Listen to logins and logouts of django.contrib.auth."""
    user_logged_in.connect(_logged_in, dispatch_uid="django_multisession.http.ownership")
    user_logged_out.connect(_logged_out, dispatch_uid="django_multisession.http.ownership")


def _logged_in(request: Any, **kwargs: Any) -> None:
    for ownership in _of_the_user(request):
        ownership.is_to_be_adopted = True


def _logged_out(request: Any, **kwargs: Any) -> None:
    leave_all(request)


def leave_all(request: Any) -> None:
    """Have all sessions of a request that end with the login end with its response."""
    default, sessions = getattr(request, "session", None), getattr(request, "sessions", None)
    if sessions is not None:
        sessions.has_logged_out = True
    if isinstance(default, ServerSession):
        default.is_logged_out = True
    for ownership in _of_the_user(request):
        ownership.leave()


def _of_the_user(request: Any) -> list[Ownership]:
    # The test client's login() has a request without our middleware.
    found = getattr(getattr(request, "sessions", None), "of_the_user", None)
    return [] if found is None else [ownership for session in found() if (ownership := ownership_of(session))]


def ownership_of(session: SessionBase) -> Ownership | None:
    """Return what knows whose a session is; None of one that does not end with the login."""
    found = session.ownership if isinstance(session, MultisessionBase) else None
    return found if isinstance(found, Ownership) else None
