"""What a response tells the browser of a session's cookie and its chunks."""

from typing import cast

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from ..bridge import own
from ..conf import DEFAULT
from ..cookies import chunk_names, cookie_options
from ..sessions.base import MultisessionBase


async def send(request: HttpRequest, response: HttpResponseBase, session: SessionBase) -> None:
    """Set the cookie of a session that was saved; delete what the browser holds of it elsewhere or beyond that."""
    if await own(session, "get_expire_at_browser_close"):
        age = None
    else:
        age = await own(session, "get_expiry_age")
    patch_vary_headers(response, ("Cookie",))
    if not isinstance(session, MultisessionBase):
        cookie_options(DEFAULT).set(response, cast(str, session.session_key), age)
        return
    cookie, before, parts = session.cookie(), session.cookie_at_load(), session.cookie_parts()
    names = chunk_names(cookie.name)
    for name, part in zip(names, parts, strict=False):
        cookie.set(response, part, age, name)
    if len(parts) > 1:
        # Django's test client makes client.session of the morsel's value; what is sent is its coded value.
        response.cookies[cookie.name].set(cookie.name, cast(str, session.session_key), parts[0])
    for name in names[len(parts) if before.same_place(cookie) else 0 :]:
        if name in request.COOKIES:
            before.delete_beside(response, name)


def delete(request: HttpRequest, response: HttpResponseBase, session: SessionBase) -> None:
    """Delete the cookie of an empty session where the browser holds it, if it has sent one."""
    if not request.COOKIES:
        return
    cookie = session.cookie_at_load() if isinstance(session, MultisessionBase) else cookie_options(DEFAULT)
    for name in chunk_names(cookie.name):
        if name in request.COOKIES:
            cookie.delete(response, name)
            patch_vary_headers(response, ("Cookie",))
