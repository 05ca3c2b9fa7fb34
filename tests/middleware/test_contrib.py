"""What expects Django's session keeps working: auth, messages, CSRF, the admin, the test client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib import admin, messages
from django.contrib.auth import aauthenticate, alogin, alogout, authenticate, login, logout
from django.contrib.auth.models import User
from django.core import checks
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.test import AsyncClient, Client
from django.urls import path
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import on_servers
from tests.databases import database
from tests.middleware.conftest import ENCRYPTED, OURS, SERVER, SIGNED

ENGINES = {
    "server": (SERVER, 1),
    "memory": ("django_multisession.engines.memory", 1),
    "signed": (SIGNED, 1),
    "signed-chunked": (SIGNED, 4),
    "encrypted": (ENCRYPTED, 1),
    "encrypted-chunked": (ENCRYPTED, 4),
    # db, on the connection of the tests' own database.
    "db": ("django_multisession.engines.db", 1),
    **{name: (f"django_multisession.engines.{name}", 1) for name in ("redis", "memcached", "mongodb", "postgresql")},
}
SERVERS = ("redis", "memcached", "mongodb")
"""Engines whose LOCATION is that of a server."""
MIDDLEWARE = [
    OURS,
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
PASSWORD = "fake password"

pytestmark = pytest.mark.django_db(transaction=True)


def sign_in(request: Any) -> HttpResponse:
    login(request, authenticate(request, username="someone", password=PASSWORD))
    return HttpResponse()


async def asign_in(request: Any) -> HttpResponse:
    await alogin(request, await aauthenticate(request, username="someone", password=PASSWORD))
    return HttpResponse()


def sign_out(request: Any) -> HttpResponse:
    logout(request)
    return HttpResponse()


async def asign_out(request: Any) -> HttpResponse:
    await alogout(request)
    return HttpResponse()


def who(request: Any) -> HttpResponse:
    return JsonResponse({"user": request.user.username, "ballast": len(request.session.get("ballast", ""))})


async def awho(request: Any) -> HttpResponse:
    return JsonResponse(
        {"user": (await request.auser()).username, "ballast": len(await request.session.aget("ballast", ""))}
    )


def say(request: Any) -> HttpResponse:
    messages.info(request, "Saved.")
    return HttpResponse()


def said(request: Any) -> HttpResponse:
    return JsonResponse([str(message) for message in messages.get_messages(request)], safe=False)


def token(request: Any) -> HttpResponse:
    return HttpResponse(get_token(request))


async def synchronous(request: Any) -> HttpResponse:
    return HttpResponse(request.session.get("n"))


urlpatterns = [
    path("admin/", admin.site.urls),
    *(
        path(f"{view.__name__}/", view)
        for view in (sign_in, asign_in, sign_out, asign_out, who, awho, say, said, token, synchronous)
    ),
]


class Browser:
    """Django's test client, of either colour."""

    def __init__(self, runner: asyncio.Runner | None, **options: Any) -> None:
        self.runner = runner
        self.client: Any = AsyncClient(**options) if runner else Client(**options)

    def ask(self, view: str, method: str = "get", *args: Any, **more: Any) -> Any:
        response = getattr(self.client, method)(f"/{view}/", *args, **more)
        return self.runner.run(response) if self.runner else response

    def view(self, view: str) -> Any:
        """Request a view that there is in both colours."""
        return self.ask(f"a{view}" if self.runner else view)

    def force_login(self, user: User) -> None:
        if self.runner:
            self.runner.run(self.client.aforce_login(user))
        else:
            self.client.force_login(user)

    def session(self) -> Any:
        return self.runner.run(self.client.asession()) if self.runner else self.client.session


@pytest.fixture(params=on_servers({name: name in (*SERVERS, "postgresql") for name in ENGINES}), autouse=True)
def engine(request: pytest.FixtureRequest, site: Any, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    site.ROOT_URLCONF = __name__
    site.MIDDLEWARE = MIDDLEWARE
    site.SESSION_ENGINE, chunks = ENGINES[request.param]
    entry: dict[str, Any] = {"CHUNKS": chunks} if chunks > 1 else {}
    if request.param in SERVERS:
        entry |= {"LOCATION": request.getfixturevalue(f"{request.param}_server").location, "TIMEOUT": 20.0}
    with ExitStack() as stack:
        if request.param == "postgresql":
            stack.enter_context(django_db_blocker.unblock())
            alias = stack.enter_context(database(request.getfixturevalue("postgresql_server").location))
            entry |= {"LOCATION": alias, "OPTIONS": {"connection": "own"}, "TIMEOUT": 20.0}
        site.MULTISESSION = {"default": entry}
        site.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
        yield str(request.param)
        site.MULTISESSION = {}


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("someone", password=PASSWORD)


@pytest.fixture
def browser(runner: asyncio.Runner | None) -> Browser:
    return Browser(runner)


def test_login_and_logout(browser: Browser, user: User) -> None:
    assert browser.view("who").json()["user"] == ""
    browser.view("sign_in")
    assert browser.view("who").json()["user"] == user.username
    response = browser.view("sign_out")
    assert response.cookies["sessionid"]["max-age"] == 0
    assert browser.view("who").json()["user"] == ""


def test_force_login_of_the_test_client(browser: Browser, user: User) -> None:
    browser.force_login(user)
    assert browser.view("who").json()["user"] == user.username


def test_session_of_the_test_client_reads_and_writes(browser: Browser, user: User, engine: str) -> None:
    size = 6000 if engine.endswith("chunked") else 600
    session = browser.session()
    session["ballast"] = "x" * size
    session.save()
    browser.client.cookies["sessionid"] = session.session_key
    assert browser.view("who").json()["ballast"] == size
    browser.force_login(user)
    assert browser.view("who").json() == {"user": user.username, "ballast": size}
    browser.view("sign_in")
    assert browser.session()["ballast"] == "x" * size


def test_messages_wait_for_the_next_page(browser: Browser) -> None:
    browser.ask("say")
    browser.ask("say")
    assert browser.ask("said").json() == ["Saved.", "Saved."]
    assert browser.ask("said").json() == []


def test_csrf_in_the_session(runner: asyncio.Runner | None, site: Any) -> None:
    site.CSRF_USE_SESSIONS = True
    browser = Browser(runner, enforce_csrf_checks=True)
    token = browser.ask("token").content.decode()
    assert set(browser.client.cookies) == {"sessionid"}
    assert browser.ask("who", "post").status_code == 403
    assert browser.ask("who", "post", {"csrfmiddlewaretoken": token}).status_code == 200


def test_admin_accepts_our_middleware() -> None:
    assert [problem for problem in checks.run_checks() if problem.id and problem.id.startswith("admin.")] == []


def test_admin_is_logged_in_to(browser: Browser, user: User) -> None:
    form = {"username": user.username, "password": PASSWORD, "next": "/admin/"}
    response = browser.ask("admin/login", "post", form)
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")
    page = browser.ask("admin")
    assert page.status_code == 200
    assert b"someone" in page.content


@pytest.mark.parametrize("engine", ["server"], indirect=True)
@pytest.mark.parametrize("colour", ["async"])
def test_synchronous_read_in_an_async_view_says_what_to_write(browser: Browser, user: User) -> None:
    browser.force_login(user)
    with pytest.raises(SynchronousOnlyOperation, match=r"await request\.session\.aget\(…\), aset\(…\)"):
        browser.ask("synchronous")
