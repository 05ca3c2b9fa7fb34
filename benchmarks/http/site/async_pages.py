"""The pages for ASGI: see pages.py."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.http.site.pages import answer
from benchmarks.payload import CHANGED, LOGGED_IN, READ


async def login(request: HttpRequest) -> HttpResponse:
    await request.session.aupdate(LOGGED_IN)
    return answer("logged in")


async def none(request: HttpRequest) -> HttpResponse:
    return answer("none")


async def read(request: HttpRequest) -> HttpResponse:
    return answer(await request.session.aget(READ))


async def change(request: HttpRequest) -> HttpResponse:
    visits = await request.session.aget(CHANGED, 0) + 1
    await request.session.aset(CHANGED, visits)
    return answer(visits)


urlpatterns = [path(f"{view.__name__}/", view) for view in (login, none, read, change)]
