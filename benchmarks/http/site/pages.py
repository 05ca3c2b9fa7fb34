"""The pages for WSGI; their asynchronous twins are in async_pages.py."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.payload import CHANGED, LOGGED_IN, READ


def answer(value: object) -> HttpResponse:
    """Return a short page. It tells its length, as CommonMiddleware does, or else it would be sent in chunks."""
    text = str(value)
    return HttpResponse(text, headers={"Content-Length": str(len(text))})


def login(request: HttpRequest) -> HttpResponse:
    request.session.update(LOGGED_IN)
    return answer("logged in")


def none(request: HttpRequest) -> HttpResponse:
    return answer("none")


def read(request: HttpRequest) -> HttpResponse:
    return answer(request.session.get(READ))


def change(request: HttpRequest) -> HttpResponse:
    visits = request.session.get(CHANGED, 0) + 1
    request.session[CHANGED] = visits
    return answer(visits)


urlpatterns = [path(f"{view.__name__}/", view) for view in (login, none, read, change)]
