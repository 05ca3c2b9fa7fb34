"""From Django's sessions to ours and back while both kinds of processes serve: another cookie name in that deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

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


urlpatterns = [path("log-in/", log_in), path("who/", who)]

Ask = Callable[[str], str]


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
