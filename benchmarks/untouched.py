"""CPU time of our middleware and of Django's for a page that does not access the session."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any

from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from benchmarks.contests import sealed
from benchmarks.project import project
from benchmarks.results import Series
from benchmarks.rounds import take_turns
from benchmarks.sides import OURS
from django_multisession.middleware import SessionMiddleware

NAME = "untouched page"
SIZE = "no session"
DJANGOS = "Django's middleware"
_REQUESTS = 500
"""A round's requests: enough for the clock of a process' CPU time."""


def measure(rounds: int) -> Iterator[Series]:
    """Yield the CPU time of a request in the middleware, under WSGI and under ASGI."""
    sync = "django_multisession.engines.redis", "django.contrib.sessions.backends.cache"
    for colour in ("wsgi", "asgi"):
        with asyncio.Runner() as runner:
            loop = runner if colour == "asgi" else None
            calls = {
                OURS: _seconds(SessionMiddleware, sync[0], loop),
                DJANGOS: _seconds(DjangoSessionMiddleware, sync[1], loop),
            }
            for name, values in take_turns(calls, rounds).items():
                yield Series(NAME, colour, SIZE, name, values)


def _seconds(middleware: type[Any], engine: str, runner: asyncio.Runner | None) -> Callable[[], float]:
    """Return a call that answers requests and returns the seconds of CPU time that one took in the middleware."""
    response = HttpResponse()

    def view(request: HttpRequest) -> HttpResponse:
        return response

    async def aview(request: HttpRequest) -> HttpResponse:
        return response

    def spent(answer: Callable[[Any], Any]) -> float:
        requests = _requests(AsyncRequestFactory() if runner else RequestFactory())
        gc.disable()
        started = time.process_time()
        if runner:
            runner.run(_all(answer, requests))
        else:
            for request in requests:
                answer(request)
        taken = time.process_time() - started
        gc.enable()
        return taken / _REQUESTS

    def seconds() -> float:
        with project(SESSION_ENGINE=engine, **sealed()):
            bare: Any = aview if runner else view
            answer = middleware(bare)
            spent(answer)  # the first requests after a change of settings read them
            return max(spent(answer) - spent(bare), 1e-9)

    return seconds


async def _all(answer: Callable[[Any], Any], requests: list[Any]) -> None:
    for request in requests:
        await answer(request)


def _requests(factory: RequestFactory | AsyncRequestFactory) -> list[Any]:
    factory.cookies = SimpleCookie({"sessionid": "x" * 32, "csrftoken": "z" * 32})
    requests = [factory.get("/") for _ in range(_REQUESTS)]
    for request in requests:
        assert request.COOKIES  # parsed once, by whoever asks first
    return requests
