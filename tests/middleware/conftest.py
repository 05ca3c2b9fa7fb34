"""A site with several sessions and a visitor of either colour; a view is written once, as ``async def``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from django_multisession.bridge import driven, run_sync
from django_multisession.runtime import reset
from django_multisession.testing.drive import either
from tests.middleware.engine import Switchable

OURS = "django_multisession.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
SERVER = "tests.middleware.engine"
SIGNED = "django_multisession.engines.signed_cookies"
ENCRYPTED = "django_multisession.engines.encrypted_cookies"
SESSIONS: dict[str, dict[str, Any]] = {
    "default": {"LOCATION": "first"},
    "second": {"ENGINE": SERVER, "LOCATION": "second"},
    "cart": {"ENGINE": SIGNED},
    "sealed": {"ENGINE": ENCRYPTED, "CHUNKS": 4},
}

Body = Callable[[Any], Awaitable[Any]]


class _Views:
    """The view of every URL is what the visitor asks for next."""

    body: Body


def _view(request: HttpRequest, **kwargs: str) -> Any:
    return run_sync(_answer(request))


async def _aview(request: HttpRequest, **kwargs: str) -> Any:
    return await _answer(request)


async def _answer(request: HttpRequest) -> HttpResponse:
    answer = await _Views.body(request)
    return HttpResponse() if answer is None else answer


urlpatterns = [path("sync/", _view), path("async/", _aview), path("shop/sync/", _view), path("shop/async/", _aview)]


class Visitor:
    """A browser as Django's test client knows it, of either colour."""

    def __init__(self, runner: asyncio.Runner | None) -> None:
        self.colour = "async" if runner else "sync"
        self.runner = runner
        self.client: Any = AsyncClient() if runner else Client()

    def visit(self, body: Body, url: str = "/", method: str = "get", **extra: Any) -> Any:
        """Request a page whose view is body; return the response."""
        _Views.body = body
        return self.ask(f"{url}{self.colour}/", method, **extra)

    def ask(self, url: str, method: str = "get", *args: Any, **extra: Any) -> Any:
        """Request a URL."""
        response = getattr(self.client, method)(url, *args, **extra)
        return self.runner.run(response) if self.runner else response

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client, or its asynchronous twin."""
        if self.runner is None:
            return getattr(self.client, method)(*args, **kwargs)
        return self.runner.run(getattr(self.client, f"a{method}")(*args, **kwargs))

    def data(self, name: str = "default") -> dict[str, Any]:
        """Return what a request finds in a session."""
        found: dict[str, Any] = {}

        async def look(request: Any) -> None:
            found.update(await either(request.sessions[name].items, request.sessions[name].aitems))

        self.visit(look)
        return found

    def new_client(self) -> None:
        """Let a change of MIDDLEWARE count, which a client reads once."""
        cookies, self.client = self.client.cookies, type(self.client)()
        self.client.cookies = cookies

    def errors_as_responses(self) -> None:
        self.client.raise_request_exception = False


def put(name: str = "default", **data: Any) -> Body:
    """Return a view that changes a session."""

    async def view(request: Any) -> None:
        await either(request.sessions[name].update, request.sessions[name].aupdate, data)

    return view


def option(name: str = "default", **options: Any) -> Body:
    """Return a view that sets cookie options, of a session that is not empty."""

    async def view(request: Any) -> None:
        session = request.sessions[name]
        await either(session.setdefault, session.asetdefault, "n", 1)
        await change(session, **options)

    return view


async def change(session: Any, **options: Any) -> None:
    """Call set_cookie_options() or its asynchronous twin."""
    if driven():
        session.set_cookie_options(**options)
    else:
        await session.aset_cookie_options(**options)


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(settings: Any) -> Iterator[Any]:
    """Configure the sessions of SESSIONS; return the settings."""
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [OURS]
    settings.SESSION_ENGINE = SERVER
    settings.MULTISESSION = SESSIONS
    reset()
    Switchable.calls.clear()
    yield settings
    Switchable.down = False
    Switchable.before.clear()
    reset()


@pytest.fixture
def runner(colour: str) -> Iterator[asyncio.Runner | None]:
    with ExitStack() as stack:
        yield stack.enter_context(asyncio.Runner()) if colour == "async" else None


@pytest.fixture
def visitor(site: Any, runner: asyncio.Runner | None) -> Visitor:
    return Visitor(runner)
