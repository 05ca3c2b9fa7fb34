"""Deploys while processes of the release before still serve: to ours and back, other secrets, another serializer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from django_multisession.serializers import TypedSerializer
from tests.middleware.conftest import OURS

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
THEIRS = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.db",
    "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware", AUTHENTICATION],
}


def log_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


def who(request: HttpRequest) -> HttpResponse:
    request.session["seen"] = True
    return HttpResponse(str(request.user))


def count(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session.get("n", -1) + 1
    return HttpResponse(str(request.session["n"]))


urlpatterns = [path("log-in/", log_in), path("who/", who), path("count/", count)]

Ask = Callable[[str], str]
SETTINGS_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
exec(SETTINGS_PAGE.read_text().partition("# shop/sessions.py\n")[2].partition("```")[0])  # noqa: S102 - our own document


@contextmanager
def both_kinds(cookie_name: str) -> Iterator[tuple[Ask, Ask]]:
    """Yield how a browser asks a process of before the deploy, and one of after it."""
    ours = {
        "SESSION_ENGINE": "django_multisession.engines.memory",
        "MIDDLEWARE": [OURS, AUTHENTICATION],
        "SESSION_COOKIE_NAME": cookie_name,
    }
    before, after = Client(), Client()
    after.cookies = before.cookies  # one browser

    def asking(client: Client, settings: dict[str, Any]) -> Ask:
        def ask(url: str) -> str:
            with override_settings(ROOT_URLCONF=__name__, **settings):
                return client.get(url).content.decode()

        return ask

    User.objects.create_user("ada")
    yield asking(before, THEIRS), asking(after, ours)


@pytest.mark.django_db
def test_deploy_under_another_cookie_name_leaves_each_kind_its_session() -> None:
    with both_kinds("sessionid_2") as (before, after):
        before("/log-in/")
        assert (before("/who/"), after("/who/")) == ("ada", "AnonymousUser")
        after("/log-in/")
        # While the deploy goes on, the two kinds take turns; after it, and after it was taken back, there is one.
        for _ in range(3):
            assert (before("/who/"), after("/who/")) == ("ada", "ada")


@pytest.mark.django_db
def test_deploy_under_the_same_cookie_name_logs_out_with_every_turn() -> None:
    with both_kinds("sessionid") as (before, after):
        before("/log-in/")
        assert after("/who/") == "AnonymousUser"
        assert before("/who/") == "AnonymousUser"  # after() has taken the cookie for its own session


# From one release of a site with our sessions to the next.

TYPED = f"{TypedSerializer.__module__}.{TypedSerializer.__qualname__}"
OLD, NEW = "an old secret of the sessions, long enough", "a new secret of the sessions, long enough"
RELEASES = {
    "keys": [{"KEYS": [OLD]}, {"KEYS": [OLD, NEW]}, {"KEYS": [NEW, OLD]}],
    "secret key": [
        {"SECRET_KEY": OLD, "SECRET_KEY_FALLBACKS": []},
        {"SECRET_KEY": OLD, "SECRET_KEY_FALLBACKS": [NEW]},
        {"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": [OLD]},
    ],
    "serializer": [{}, {"SERIALIZER": f"{__name__}.ReadsBoth"}, {"SERIALIZER": f"{__name__}.WritesTyped"}],
}


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["memory", "encrypted_cookies", "signed_cookies"])
@pytest.mark.parametrize("releases", list(RELEASES.values()), ids=list(RELEASES))
def test_deploys_as_the_settings_page_has_them_log_nobody_out(engine: str, releases: list[dict[str, Any]]) -> None:
    def ask(release: dict[str, Any], url: str) -> str:
        entry = {key: value for key, value in release.items() if not key.startswith("SECRET")}
        others = {key: value for key, value in release.items() if key.startswith("SECRET")}
        with override_settings(
            ROOT_URLCONF=__name__,
            SESSION_ENGINE=f"django_multisession.engines.{engine}",
            MULTISESSION={"default": entry},
            MIDDLEWARE=[OURS, AUTHENTICATION],
            **others,
        ):
            return browser.get(url).content.decode()

    User.objects.create_user("ada")
    browser = Client()
    ask(releases[0], "/log-in/")
    turns = [release for deploy in pairwise(releases) for release in (*deploy, *deploy)]
    found = [(ask(release, "/who/"), ask(release, "/count/")) for release in turns]
    assert found == [("ada", str(n)) for n in range(len(turns))]
