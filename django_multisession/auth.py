"""A logout that logs out though the store of the sessions does not answer."""

from typing import TYPE_CHECKING

from django.contrib import auth
from django.http import HttpRequest

from .bridge import run_sync
from .exceptions import StoreUnavailable
from .http.outage_logout import forget

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


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
        request.user = _nobody()


async def alogout(request: HttpRequest) -> None:
    """See logout()."""
    try:
        await auth.alogout(request)
    except StoreUnavailable:
        await forget(request)
        request.user = _nobody()

        async def auser() -> "AnonymousUser":
            return _nobody()

        request.auser = auser


def _nobody() -> "AnonymousUser":
    # Its module can be imported only where django.contrib.auth is installed.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()
