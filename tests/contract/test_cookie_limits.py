"""A session that does not fit into its cookie: an error before anything is sent, and the old cookie stays."""

from __future__ import annotations

import asyncio
import os
from http.cookies import Morsel
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_multisession.cookies import MAX_SIZE, cookie_options
from django_multisession.engines import encrypted_cookies, signed_cookies
from django_multisession.exceptions import SessionNotSerializable, SessionTooLarge
from django_multisession.sessions.cookie import CookieSession
from django_multisession.testing.drive import driving
from django_multisession.testing.visits import Visit

ENGINES = {"signed_cookies": signed_cookies, "encrypted_cookies": encrypted_cookies}
MIDDLEWARES = ["django.contrib.sessions.middleware", "django_multisession.middleware"]


def put(request: HttpRequest, size: int) -> HttpResponse:
    request.session["small"] = "s"
    request.session["large"] = os.urandom(size // 2).hex()
    return HttpResponse()


def get(request: HttpRequest) -> HttpResponse:
    return JsonResponse({key: len(value) for key, value in request.session.items()})


urlpatterns = [path("put/<int:size>/", put), path("get/", get)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, settings: Any) -> type[CookieSession]:
    settings.MULTISESSION = {}
    settings.SESSION_ENGINE = f"django_multisession.engines.{request.param}"
    session_class: type[CookieSession] = ENGINES[request.param].SessionStore
    return session_class


@pytest.fixture(params=MIDDLEWARES)
def site(request: pytest.FixtureRequest, settings: Any, engine: type[CookieSession]) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{request.param}.SessionMiddleware"]


def ask(client: Client | AsyncClient, url: str) -> Any:
    return client.get(url) if isinstance(client, Client) else asyncio.run(client.get(url))


def sent(response: Any) -> Morsel[str]:
    morsel: Morsel[str] = response.cookies["sessionid"]
    return morsel


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("client_class", [Client, AsyncClient])
def test_session_too_large_for_its_cookie_leaves_the_old_one(client_class: type[Any]) -> None:
    client = client_class()
    ask(client, "/put/100/")
    before = client.cookies["sessionid"].value
    with pytest.raises(SessionTooLarge, match=r"'default'.*'large'"):
        ask(client, "/put/5000/")
    client.raise_request_exception = False
    response = ask(client, "/put/5000/")
    assert response.status_code == 500
    assert not response.cookies
    assert client.cookies["sessionid"].value == before
    assert ask(client, "/get/").json() == {"small": 1, "large": 100}


@pytest.mark.usefixtures("site")
def test_cookie_that_is_sent_is_never_longer_than_browsers_keep(settings: Any) -> None:
    settings.SESSION_COOKIE_DOMAIN = "sessions.example.org"
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_PATH = "/some/where/deep/"
    longest = 0
    for size in range(2400, 3200, 20):
        client = Client()
        try:
            response = client.get(f"/put/{size}/")
        except SessionTooLarge:
            break
        longest = max(longest, len(sent(response).OutputString()))
    else:
        pytest.fail("No size was too large.")
    assert MAX_SIZE - 100 < longest <= MAX_SIZE


@pytest.mark.parametrize("operation", ["save", "create", "cycle_key"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_session_too_large_names_session_keys_and_sizes(
    engine: type[CookieSession], colour: str, operation: str
) -> None:
    async def scenario() -> None:
        visit = Visit(engine())
        await visit.set("small", "s" * 10)
        await visit.save()
        before = visit.key
        await visit.set("large", "l" * 5000)
        expected = r"'default' takes \d{4} bytes.* 4096 .*'large' \(50\d\d bytes\)"
        with pytest.raises(SessionTooLarge, match=expected) as caught:
            await getattr(visit, operation)()
        assert before not in str(caught.value)
        assert visit.key == before
        await visit.pop("large")
        await visit.save()
        assert await Visit(engine(visit.key)).data() == {"small": "s" * 10}

    with driving(colour, bool) as drive:
        drive(scenario())


def test_attributes_count(engine: type[CookieSession]) -> None:
    session = engine()
    session["a"] = ""
    while True:
        try:
            session.save()
        except SessionTooLarge:
            break
        session["a"] += "a" * 10
    session["a"] = session["a"][:-10]
    session.save()
    with override_settings(SESSION_COOKIE_DOMAIN="a-longer-one.example.org"), pytest.raises(SessionTooLarge):
        session.save()
    assert cookie_options("default").size(str(session.session_key)) <= MAX_SIZE


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_value_that_is_not_serialisable_is_named(engine: type[CookieSession], colour: str) -> None:
    async def scenario() -> None:
        visit = Visit(engine())
        await visit.set("fine", 1)
        await visit.save()
        before = visit.key
        await visit.set("the_wrong_one", object())
        with pytest.raises(SessionNotSerializable, match=r"'default'.*'the_wrong_one'"):
            await visit.save()
        assert visit.key == before

    with driving(colour, bool) as drive:
        drive(scenario())
