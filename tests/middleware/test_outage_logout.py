"""Logging out while the store is away, with AuthenticationMiddleware in place: the browser is logged out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.views import LogoutView, logout_then_login
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from django_multisession.auth import alogout, logout
from django_multisession.bridge import driven
from tests.allauth import lines_of
from tests.middleware import conftest
from tests.middleware.conftest import OURS, SESSIONS, Visitor, put
from tests.middleware.engine import Switchable

pytestmark = pytest.mark.django_db(transaction=True)


class OwnLogout(LogoutView):
    """A project's."""


class LinkedLogout(LogoutView):
    """A project's that takes GET, as Django's did."""

    http_method_names = ["get", "post"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return self.post(request, *args, **kwargs)


urlpatterns = [
    *conftest.urlpatterns,
    path("linked/", LinkedLogout.as_view(next_page="/")),
    path("logout/", LogoutView.as_view(next_page="/")),
    path("own/", never_cache(OwnLogout.as_view(next_page="/"))),
    path("then/", logout_then_login),
    path("admin/", admin.site.urls),
]

ROOT = Path(__file__).parents[2]
LOGOUTS = ["/logout/", "/own/", "/then/", "/admin/logout/"]


@pytest.fixture
def member(visitor: Visitor, site: Any) -> Visitor:
    """Return a visitor who is logged in, as staff."""
    site.ROOT_URLCONF = __name__
    site.MIDDLEWARE = [OURS, "django.contrib.auth.middleware.AuthenticationMiddleware"]
    user = User.objects.create_superuser("alice", password="obviously-fake")
    visitor.new_client()
    visitor.call("force_login", user)
    visitor.visit(put("cart", secret=1))
    visitor.visit(put("second", secret=2))
    assert "_auth_user_id" in visitor.data()
    return visitor


def gone(response: Any, name: str = "sessionid") -> bool:
    return name in response.cookies and response.cookies[name]["max-age"] == 0


@pytest.mark.parametrize("url", LOGOUTS)
def test_logout_view_in_an_outage_logs_out(member: Visitor, url: str) -> None:
    Switchable.go_down()
    response = member.ask(url, "post")
    assert response.status_code == 503
    assert all(gone(response, name) for name in ("sessionid", "sessionid_cart", "sessionid_second"))
    assert b"You are logged out in this browser" in response.content
    assert b"you still are" not in response.content
    Switchable.down = False
    assert member.data() == {}
    assert member.data("cart") == {}


def test_logout_view_in_an_outage_deletes_cookies_that_do_not_come_with_it(member: Visitor, site: Any) -> None:
    site.MULTISESSION = {**SESSIONS, "cart": {**SESSIONS["cart"], "COOKIE": {"PATH": "/shop/"}}}
    del member.client.cookies["sessionid_cart"]  # as browsers do, elsewhere
    Switchable.go_down()
    sent = member.ask("/logout/", "post").cookies["sessionid_cart"]
    assert (sent["max-age"], sent["path"]) == (0, "/shop/")


@pytest.mark.parametrize("url", LOGOUTS)
def test_logout_view_without_an_outage_is_djangos(member: Visitor, url: str) -> None:
    assert member.ask(url, "post").status_code in (200, 302)
    assert member.data() == {}


@pytest.mark.parametrize("url", LOGOUTS)
def test_preloaded_session_is_logged_out_as_well(member: Visitor, site: Any, url: str) -> None:
    site.MULTISESSION = {**SESSIONS, "default": {**SESSIONS["default"], "PRELOAD": True}}
    member.new_client()
    Switchable.go_down()
    assert gone(member.ask(url, "post"))


def test_logout_that_csrf_refuses_logs_nobody_out(member: Visitor, site: Any) -> None:
    site.MIDDLEWARE = [*site.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    cookies = member.client.cookies
    member.client = type(member.client)(enforce_csrf_checks=True)
    member.client.cookies = cookies
    Switchable.go_down()
    response = member.ask("/logout/", "post")
    assert response.status_code == 403
    assert not response.cookies


CSRF = "django.middleware.csrf.CsrfViewMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


@pytest.mark.parametrize("url", LOGOUTS)
def test_logout_where_a_middleware_looks_at_the_user_first_logs_out(member: Visitor, site: Any, url: str) -> None:
    site.MIDDLEWARE = [OURS, CSRF, *site.MIDDLEWARE[1:], LOGIN_REQUIRED]
    member.new_client()
    member.errors_as_responses()
    Switchable.go_down()
    response = member.ask(url, "post")
    assert response.status_code == 503
    assert all(gone(response, name) for name in ("sessionid", "sessionid_cart", "sessionid_second"))
    assert b"You are logged out in this browser" in response.content


def test_logout_whose_token_nobody_has_looked_at_logs_nobody_out(member: Visitor, site: Any) -> None:
    site.MIDDLEWARE = [*site.MIDDLEWARE, LOGIN_REQUIRED, CSRF]
    cookies = member.client.cookies
    member.client = type(member.client)(enforce_csrf_checks=True, raise_request_exception=False)
    member.client.cookies = cookies
    Switchable.go_down()
    response = member.ask("/logout/", "post")
    assert response.status_code == 503
    assert not response.cookies
    assert b"If you were logged in, you still are." in response.content


@pytest.mark.parametrize("url", LOGOUTS)
@pytest.mark.parametrize("method", ["get", "head"])
def test_link_to_a_logout_in_an_outage_logs_nobody_out(member: Visitor, url: str, method: str) -> None:
    Switchable.go_down()
    response = member.ask(url, method)
    assert response.status_code in (405, 503)
    assert not response.cookies


def test_logout_view_that_takes_links_logs_out_by_one(member: Visitor) -> None:
    Switchable.go_down()
    response = member.ask("/linked/", "get")
    assert response.status_code == 503
    assert gone(response)


@pytest.mark.slow
def test_logout_of_allauth_in_an_outage_logs_out() -> None:
    ends = {"post": {False, True}, "get": {True}, "head": set[bool]()}
    assert lines_of("tests.middleware.allauth_site") == [
        f"{colour}, {method}, links log out: {links}: 503 {links in ends[method]}"
        for links in (False, True)
        for method in ends
        for colour in ("sync", "async")
    ]


def test_other_page_in_an_outage_keeps_the_login_and_says_so(member: Visitor) -> None:
    Switchable.go_down()
    response = member.visit(put(a=1))
    assert response.status_code == 503
    assert not response.cookies
    assert b"If you were logged in, you still are." in response.content


def test_visitor_without_a_session_is_told_nothing_of_a_login(member: Visitor) -> None:
    Switchable.go_down()
    member.client.cookies.clear()
    response = member.visit(put(a=1))
    assert response.status_code == 503
    assert b"logged" not in response.content


async def _ours(request: Any) -> HttpResponse:
    if driven():
        logout(request)
        user = request.user
    else:
        await alogout(request)
        user = await request.auser()
    return HttpResponse("anonymous" if user.is_anonymous else "?")


def test_our_logout_in_an_outage_logs_out(member: Visitor) -> None:
    del member.client.cookies["sessionid_second"]  # its server is the one that is down
    Switchable.go_down()
    response = member.visit(_ours)
    assert (response.status_code, response.content) == (200, b"anonymous")
    assert gone(response)
    assert gone(response, "sessionid_cart")
    assert response["Cache-Control"] == "private, no-store"


def test_our_logout_with_a_named_session_that_is_away_says_what_is_true(member: Visitor) -> None:
    Switchable.go_down()
    response = member.visit(_ours)
    assert response.status_code == 503
    assert gone(response)
    assert gone(response, "sessionid_second")
    assert b"You are logged out in this browser" in response.content


def test_our_logout_without_an_outage_is_djangos(member: Visitor) -> None:
    assert member.visit(_ours).content == b"anonymous"
    assert member.data() == {}


TEXTS = {
    "de": ("Sie sind in diesem Browser abgemeldet", "Falls Sie angemeldet waren", "Gleich wieder da"),
    "fr": ("Votre session est fermée dans ce navigateur", "Si votre session était ouverte", "De retour"),
    "es": ("Su sesión está cerrada en este navegador", "Si tenía la sesión iniciada", "Volvemos enseguida"),
    "en": ("You are logged out in this browser", "If you were logged in", "Back in a moment"),
}


@pytest.mark.parametrize("language", TEXTS)
def test_page_speaks_the_visitors_language(member: Visitor, site: Any, language: str) -> None:
    site.MIDDLEWARE = [OURS, "django.middleware.locale.LocaleMiddleware", *site.MIDDLEWARE[1:]]
    member.new_client()
    Switchable.go_down()
    extra: dict[str, Any] = {"headers": {"accept-language": language}}
    out, still, title = TEXTS[language]
    page = member.visit(put(a=1), **extra).content.decode()
    assert f'<html lang="{language}">' in page
    assert still in page
    assert title in page
    assert out in member.ask("/logout/", "post", **extra).content.decode()


def test_page_speaks_the_sites_language_where_visitors_have_no_choice(member: Visitor, site: Any) -> None:
    site.LANGUAGE_CODE = "de"
    Switchable.go_down()
    page = member.visit(put(a=1), headers={"accept-language": "fr"}).content.decode()
    assert TEXTS["de"][1] in page


def test_json_tells_whether_the_login_is_gone(member: Visitor) -> None:
    Switchable.go_down()
    extra: dict[str, Any] = {"headers": {"accept": "application/json"}}
    assert member.visit(put(a=1), **extra).json()["logged_out"] is False
    assert member.ask("/logout/", "post", **extra).json()["logged_out"] is True
