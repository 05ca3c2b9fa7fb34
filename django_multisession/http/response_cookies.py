"""Set and delete a session's cookie, and its chunks, in a response."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from ..cookies import chunk_names
from .handle import Handle


async def send(request: HttpRequest, response: HttpResponseBase, handle: Handle) -> None:
    """Set the cookie of a saved session; delete its superfluous chunks, and the cookie at its former place."""
    age = None if await handle.expires_with_browser() else await handle.expiry_age()
    patch_vary_headers(response, ("Cookie",))
    cookie, before, parts = handle.cookie(), handle.cookie_at_load(), handle.cookie_parts()
    names = chunk_names(cookie.name)
    for name, part in zip(names, parts, strict=False):
        cookie.set(response, part, age, name)
    if len(parts) > 1:
        # Django's test client makes client.session from the morsel's value; its coded value is what is sent.
        response.cookies[cookie.name].set(cookie.name, handle.session.session_key or "", parts[0])
    for name in names[len(parts) if before.same_place(cookie) else 0 :]:
        if name in request.COOKIES:
            before.delete_beside(response, name)


def delete(request: HttpRequest, response: HttpResponseBase, handle: Handle) -> None:
    """Delete the cookie of an empty session, at the place where the browser has it, if the request brought it."""
    if not request.COOKIES:
        return
    cookie = handle.cookie_at_load()
    for name in chunk_names(cookie.name):
        if name in request.COOKIES:
            cookie.delete(response, name)
            patch_vary_headers(response, ("Cookie",))


def delete_beyond_path(request: HttpRequest, response: HttpResponseBase) -> None:
    """Delete, after a logout, the cookies that browsers do not send to this URL, such as a shop's with a PATH.

    Their records cannot be deleted, since their keys are not known here.
    """
    sessions = getattr(request, "sessions", None)
    if sessions is None or not sessions.has_logged_out:
        return
    for cookie, chunks in sessions.beyond_path():
        for name in chunk_names(cookie.name)[:chunks]:
            cookie.delete(response, name)
