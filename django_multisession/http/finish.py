"""The end of a request: sessions are saved, outages answered, cookies set.

First all sessions are serialised, then saved; last, cookies are set for every session that was saved, even if another
one failed. A response of 500 or above saves nothing, and leaves each session as it was before the request.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn, cast

from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from ..breaker import report
from ..bridge import driven
from ..exceptions import StoreUnavailable
from . import response_cookies
from .handle import Handle
from .outage_logout import forget, is_logout_of_the_user
from .unavailable import Outage, unavailable


async def finish(request: HttpRequest, response: HttpResponseBase, opened: list[SessionBase]) -> HttpResponseBase:
    """Return the response to send: the given one, or another that answers an outage or a failed save."""
    handles = [Handle(session, request) for session in opened]
    try:
        return await _finish(request, response, handles)
    finally:
        for handle in handles:
            await handle.close()  # sessions have ended even if the request fails for another reason


async def _finish(request: HttpRequest, response: HttpResponseBase, handles: list[Handle]) -> HttpResponseBase:
    logout_counts = response.status_code < 500
    for handle in handles:
        with suppress(StoreUnavailable):  # which the session remembers
            await handle.end_again()
    if response.status_code < 500:
        errors = await _store(handles)
        for error in errors:
            response = await _failed(request, error, alone=len(handles) == 1)
    else:
        for handle in handles:
            await handle.abandon()
        outage = _outage_behind(response, handles)
        if outage is not None:
            if is_logout_of_the_user(request, in_view=isinstance(response, Outage)):
                await forget(request)
                logout_counts = True
                handles = await _all_left(request, handles)
            response = unavailable(request, outage)
    for handle in handles:
        await handle.close()
        await _show(request, response, handle)
    if logout_counts:
        response_cookies.delete_beyond_path(request, response)
    return response


def _outage_behind(response: HttpResponseBase, handles: list[Handle]) -> StoreUnavailable | None:
    """Return the outage that has led to a response of 500 or above; None if none has, or a view has answered it."""
    if isinstance(response, Outage):
        return response.error
    if response.status_code == 503:
        return None  # a view's own page
    # Another middleware, or a template, has met it and failed.
    return next((handle.outage for handle in handles if handle.outage is not None), None)


async def _all_left(request: HttpRequest, handles: list[Handle]) -> list[Handle]:
    """End the sessions that a logout has left, as far as possible; return the handles of all sessions."""
    known = {id(handle.session): handle for handle in handles}
    every = [known.get(id(session)) or Handle(session, request) for session in request.sessions.opened()]  # type: ignore[attr-defined]  # the attribute that middleware.py adds
    for handle in every:
        if handle.is_ended:
            with suppress(StoreUnavailable):
                await handle.end()
    return every


async def _show(request: HttpRequest, response: HttpResponseBase, handle: Handle) -> None:
    """Set or delete a session's cookie in the response, and the headers about caching."""
    if handle.is_saved:
        await response_cookies.send(request, response, handle)
    elif handle.is_to_be_deleted:
        response_cookies.delete(request, response, handle)
    if handle.session.accessed:
        patch_vary_headers(response, ("Cookie",))
    if handle.outage is not None:
        report(handle.outage)
    if handle.outage is not None and response.status_code < 500:
        # The page was made without the session, by ON_OUTAGE or by a view that handles outages.
        patch_cache_control(response, private=True, no_store=True)


async def _store(handles: list[Handle]) -> list[Exception]:
    """End and save sessions; return what went wrong, since the cookies of the others must be sent all the same."""
    errors: list[Exception] = []

    async def succeeds(action: Callable[[], Awaitable[object]]) -> bool:
        try:
            return bool(await action())
        except Exception as error:  # noqa: BLE001 - whatever it is, see above
            errors.append(error)
            return False

    for handle in handles:
        await handle.settle()
    ended = [handle for handle in handles if handle.is_ended]
    changed = [handle for handle in handles if await succeeds(handle.is_dirty)]
    if len(changed) + len(ended) > 1:
        try:
            for handle in changed:
                if handle.ours is not None:
                    handle.ours.validate()
        except BaseException:
            for handle in handles:
                await handle.abandon()
            raise
    for handle in ended:
        await succeeds(handle.end)
    for handle in changed:
        await succeeds(handle.save)
    for handle in handles:
        if handle not in changed:
            await handle.abandon()
        await handle.see()
    return errors


async def _failed(request: HttpRequest, error: Exception, alone: bool) -> HttpResponseBase:
    """Return the response for a session that cannot be saved; if it is the only one, raise as Django's middleware."""
    if isinstance(error, StoreUnavailable):
        return unavailable(request, error)
    fail = raising(error)
    if alone:
        fail(request)
    if driven():
        return cast(HttpResponseBase, convert_exception_to_response(fail)(request))

    async def afail(request: HttpRequest) -> NoReturn:
        fail(request)

    # On a thread, since a project's error pages may do anything.
    return await cast(Awaitable[HttpResponseBase], convert_exception_to_response(afail)(request))


def interrupted(request: HttpRequest, error: UpdateError) -> HttpResponse:
    """Return Django's response, 400, for a request whose session was deleted meanwhile."""
    return cast(HttpResponse, convert_exception_to_response(raising(error))(request))


def raising(error: Exception) -> Callable[[HttpRequest], NoReturn]:
    """Return a view that raises an error as Django's middleware would."""

    def fail(request: HttpRequest) -> NoReturn:
        if isinstance(error, UpdateError):
            raise SessionInterrupted(
                "The request's session was deleted before the request completed. The user may have logged out in a "
                "concurrent request, for example."
            ) from error
        raise error

    return fail
