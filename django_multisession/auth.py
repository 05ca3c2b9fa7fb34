"""A logout that works although the session's store does not answer."""

from typing import TYPE_CHECKING

from django.contrib import auth
from django.http import HttpRequest

from .bridge import run_sync
from .exceptions import StoreUnavailable
from .http.outage_logout import forget

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser


def logout(request: HttpRequest) -> None:
    """Log the user out as django.contrib.auth.logout() does, even during an outage of the session's store.

    In an outage the browser only loses the session's cookie. The record cannot be deleted: whoever has a copy of the
    cookie can use it until the record expires. Nothing is raised for that, and user_logged_out is not sent, since the
    user is not known.
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
    # Imported late: its module needs django.contrib.auth to be installed.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()
