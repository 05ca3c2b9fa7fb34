"""Named sessions end with the login: the second user of a computer does not see the first one's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.http import HttpResponse

from django_multisession.bridge import driven
from django_multisession.testing.drive import either
from tests.middleware.conftest import SESSIONS, SIGNED, Visitor, put

pytestmark = pytest.mark.django_db(transaction=True)

NAMED = ["second", "cart", "sealed"]
BROWSERS = "of_the_browser"


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="obviously-fake")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob", password="obviously-fake")


@pytest.fixture(params=NAMED)
def name(request: pytest.FixtureRequest, site: Any) -> str:
    kept = {BROWSERS: {"ENGINE": SIGNED, "ENDS_WITH_LOGIN": False}}
    site.MULTISESSION = {**SESSIONS, **kept}
    return str(request.param)


def log_in(user: User, then: Callable[[Any], Awaitable[Any]] | None = None) -> Any:
    async def view(request: Any) -> Any:
        backend = "django.contrib.auth.backends.ModelBackend"
        if driven():
            login(request, user, backend)
        else:
            await alogin(request, user, backend)
        return then and await then(request)

    return view


def log_out(then: Callable[[Any], Awaitable[Any]] | None = None) -> Any:
    async def view(request: Any) -> Any:
        if driven():
            logout(request)
        else:
            await alogout(request)
        return then and await then(request)

    return view


def expire(visitor: Visitor) -> None:
    """Let the login end as it does by itself: nobody hears of it."""
    del visitor.client.cookies["sessionid"]


def test_logout_ends_named_sessions(visitor: Visitor, name: str, alice: User) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))
    visitor.visit(put(BROWSERS, theme="dark"))
    before = visitor.client.cookies[f"sessionid_{name}"].value
    response = visitor.visit(log_out())
    assert response.cookies[f"sessionid_{name}"]["max-age"] == 0
    assert visitor.data(name) == {}
    assert visitor.data(BROWSERS) == {"theme": "dark"}
    if name == "second":
        visitor.client.cookies[f"sessionid_{name}"] = before
        assert visitor.data(name) == {}  # on its server as well


def test_logout_ends_a_session_whose_cookie_does_not_come_with_it(
    visitor: Visitor, name: str, alice: User, site: Any
) -> None:
    site.MULTISESSION = {**site.MULTISESSION, name: {**SESSIONS[name], "COOKIE": {"PATH": "/shop/"}}}
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1), "/shop/")
    del visitor.client.cookies[f"sessionid_{name}"]  # as browsers do, elsewhere
    sent = visitor.visit(log_out()).cookies[f"sessionid_{name}"]
    assert (sent["max-age"], sent["path"]) == (0, "/shop/")
    visitor.client.cookies.clear()
    visitor.visit(log_in(alice))
    assert list(visitor.visit(log_out(), "/shop/").cookies) == ["sessionid"]  # a cookie would have come


def test_logout_deletes_all_chunks_that_do_not_come_with_it(visitor: Visitor, site: Any, alice: User) -> None:
    site.MULTISESSION = {**SESSIONS, "cart": {**SESSIONS["cart"], "COOKIE": {"PATH": "/shop/"}, "CHUNKS": 3}}
    visitor.visit(log_in(alice))
    sent = visitor.visit(log_out()).cookies
    assert {name for name in sent if "cart" in name} == {"sessionid_cart", "sessionid_cart.1", "sessionid_cart.2"}


def test_failed_page_deletes_no_cookie_that_does_not_come_with_it(visitor: Visitor, site: Any, alice: User) -> None:
    site.MULTISESSION = {**SESSIONS, "cart": {**SESSIONS["cart"], "COOKIE": {"PATH": "/shop/"}}}

    async def fail(request: Any) -> HttpResponse:
        return HttpResponse(status=500)

    visitor.visit(log_in(alice))
    assert "sessionid_cart" not in visitor.visit(log_out(fail)).cookies


def test_logout_ends_a_session_that_was_opened_before(visitor: Visitor, name: str, alice: User) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))

    async def view(request: Any) -> None:
        await either(request.sessions[name].items, request.sessions[name].aitems)
        await log_out()(request)
        assert not await either(request.sessions[name].items, request.sessions[name].aitems)

    assert visitor.visit(view).cookies[f"sessionid_{name}"]["max-age"] == 0
    assert visitor.data(name) == {}


def test_what_is_written_after_the_logout_is_a_new_session(visitor: Visitor, name: str, alice: User) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))
    before = visitor.client.cookies[f"sessionid_{name}"].value
    visitor.visit(log_out(put(name, goodbye=1)))
    assert visitor.client.cookies[f"sessionid_{name}"].value != before
    assert visitor.data(name) == {"goodbye": 1}


def test_failed_page_ends_nothing(visitor: Visitor, name: str, alice: User) -> None:
    async def fail(request: Any) -> HttpResponse:
        return HttpResponse(status=500)

    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))
    visitor.visit(log_out(fail))
    assert visitor.data(name) == {"secret": 1}


def test_visitor_who_logs_in_keeps_the_cart(visitor: Visitor, name: str, alice: User) -> None:
    visitor.visit(put(name, cart=["of a visitor"]))
    visitor.visit(log_in(alice))
    assert visitor.data(name) == {"cart": ["of a visitor"]}


def test_login_of_another_user_ends_what_was_the_first_ones(
    visitor: Visitor, name: str, alice: User, bob: User
) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))
    visitor.visit(log_in(bob))
    assert visitor.data(name) == {}


def test_expired_login_does_not_show_the_next_user_what_was_the_first_ones(
    visitor: Visitor, name: str, alice: User, bob: User
) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))
    expire(visitor)
    visitor.visit(log_in(bob))
    assert visitor.data(name) == {}


def test_cart_that_was_taken_along_by_the_first_user_is_not_the_next_ones(
    visitor: Visitor, name: str, alice: User, bob: User
) -> None:
    visitor.visit(put(name, cart=["of a visitor"]))
    visitor.visit(log_in(alice))
    expire(visitor)
    visitor.visit(log_in(bob))
    assert visitor.data(name) == {}


def test_session_of_another_user_is_not_shown_when_its_cookie_comes_back(
    visitor: Visitor, name: str, alice: User, bob: User
) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, secret=1))
    cookie = visitor.client.cookies[f"sessionid_{name}"].value
    visitor.visit(log_in(bob))
    visitor.client.cookies[f"sessionid_{name}"] = cookie

    async def look(request: Any) -> HttpResponse:
        return HttpResponse(str(await either(request.sessions[name].get, request.sessions[name].aget, "secret")))

    response = visitor.visit(look)
    assert response.content == b"None"
    # A record that is gone says nothing of the cookie that the browser has by now.
    assert name == "second" or response.cookies[f"sessionid_{name}"]["max-age"] == 0
    assert not response.cookies or not response.cookies[f"sessionid_{name}"].value


def test_same_user_who_comes_back_finds_the_session(visitor: Visitor, name: str, alice: User) -> None:
    visitor.visit(log_in(alice))
    visitor.visit(put(name, draft=1))
    expire(visitor)
    assert visitor.data(name) == {"draft": 1}
    visitor.visit(log_in(alice))
    assert visitor.data(name) == {"draft": 1}


def test_owner_is_neither_in_the_data_nor_an_option_of_the_cookie(visitor: Visitor, name: str, alice: User) -> None:
    visitor.visit(log_in(alice))

    async def view(request: Any) -> None:
        session = request.sessions[name]
        await either(session.update, session.aupdate, {"a": 1})
        assert dict(await either(session.items, session.aitems)) == {"a": 1}

    response = visitor.visit(view)
    assert "owner" not in response.cookies[f"sessionid_{name}"].OutputString()
    assert visitor.data(name) == {"a": 1}
