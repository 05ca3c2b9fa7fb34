"""Whose a named session is: with ENDS_WITH_LOGIN, it ends at the logout and when another user logs in.

Each such session seals the id of the user that it was last saved for, and is compared with the request's user when it
is loaded: the login may have expired before the next user comes, and no logout ever told of the end. A visitor's
session has no owner, and becomes that of whoever logs in: a cart is kept.

What django.contrib.auth tells by its signals is noted without I/O, also for sessions that the request has not opened
but whose cookie it brought. They end, or are sealed, together with the response. See decisions.md, D36.
"""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from ..bridge import driven
from ..exceptions import StoreUnavailable
from ..sessions.base import MultisessionBase

_USER = "_auth_user_id"


class Belonging:
    """Compares the sessions of one request with its user."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    async def is_anothers(self, owner: str) -> bool:
        """Tell whether a session with this owner must not be shown: another user is logged in."""
        user = await self._user()
        return user is not None and user != owner

    async def claim(self, session: MultisessionBase) -> None:
        """Seal the user in a session that is about to be saved; its owner stays while nobody is logged in."""
        try:
            user = await self._user()
        except StoreUnavailable:
            return  # nobody knows who it is, and this session is not to be lost for that
        if user is not None:
            session.cookie_changes().belong_to(user)

    async def adopt(self, session: MultisessionBase) -> None:
        """Give a visitor's session to the user who has just logged in; another user's ends by being loaded."""
        try:
            if driven():
                session.preload()
            else:
                await session.apreload()
        except StoreUnavailable:
            return  # which the session remembers
        if session.session_key is not None and session.owner is None and not session.is_empty():
            session.modified = True

    async def _user(self) -> str | None:
        default: Any = getattr(self._request, "session", None)
        if not isinstance(default, SessionBase):
            return None
        accessed = default.accessed
        user: str | None = default.get(_USER) if driven() else await default.aget(_USER)
        default.accessed = accessed  # the page does not depend on it but through a session that it has looked at
        return user


def follow_logins() -> None:
    """Listen to logins and logouts of django.contrib.auth."""
    user_logged_in.connect(_logged_in, dispatch_uid="django_multisession.http.belonging")
    user_logged_out.connect(_logged_out, dispatch_uid="django_multisession.http.belonging")


def _logged_in(request: Any, **kwargs: Any) -> None:
    for session in _of_the_user(request):
        session.is_to_be_adopted = True


def _logged_out(request: Any, **kwargs: Any) -> None:
    leave_all(request)


def leave_all(request: Any) -> None:
    """Have all sessions of a request that end with the login end with its response."""
    for session in _of_the_user(request):
        session.leave()


def _of_the_user(request: Any) -> list[MultisessionBase]:
    # The test client's login() has a request without our middleware.
    found = getattr(getattr(request, "sessions", None), "of_the_user", None)
    return [] if found is None else found()
