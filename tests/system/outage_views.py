"""A site whose views use the session in the ways that an outage can meet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_multisession.exceptions import StoreUnavailable

meanwhile: list[Callable[[], object]] = []
"""What happens between a view's use of its session and the saving of it."""


def _happen() -> None:
    while meanwhile:
        meanwhile.pop()()


def load(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("n")))


def save(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session.get("n", 0) + 1
    _happen()
    return HttpResponse("saved")


async def aload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("n")))


async def asave(request: HttpRequest) -> HttpResponse:
    await request.session.aset("n", await request.session.aget("n", 0) + 1)
    _happen()
    return HttpResponse("saved")


def two(request: Any) -> HttpResponse:
    """Change a session in the cookie, and then one on a server."""
    request.sessions["cart"]["items"] = 3
    return save(request)


def each(request: Any, times: int = 1) -> HttpResponse:
    """Try all sessions, one after the other; tell how many answered."""
    answered = 0
    for session in [*request.sessions.values()] * times:
        with suppress(StoreUnavailable):
            session.get("n")
            answered += 1
    return HttpResponse(str(answered))


def every(request: Any) -> HttpResponse:
    """See each(), twice."""
    return each(request, 2)


urlpatterns = [path(f"{view.__name__}/", view) for view in (load, save, aload, asave, two, each, every)]
