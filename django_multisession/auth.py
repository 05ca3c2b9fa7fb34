"""A logout that logs out though the store of the sessions does not answer."""

from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from .bridge import run_sync
from .exceptions import StoreUnavailable
from .http.logout import forget


def logout(request: HttpRequest) -> None:
    """Log the user out as django.contrib.auth.logout() does, also during an outage of the session's store.

    The browser loses the session's cookie then. The record cannot be deleted, and ends when its time is over: whoever
    has a copy of the cookie can use it until then. Nothing is raised for that; user_logged_out is not sent, for nobody
    knows who it was.
    """
    try:
        auth.logout(request)
    except StoreUnavailable:
        run_sync(forget(request))
        request.user = AnonymousUser()


async def alogout(request: HttpRequest) -> None:
    """See logout()."""
    try:
        await auth.alogout(request)
    except StoreUnavailable:
        await forget(request)
        request.user = AnonymousUser()

        async def auser() -> AnonymousUser:
            return AnonymousUser()

        request.auser = auser
