"""An outage on every path that leads to a session: 503, one line in the log, and nobody is logged out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.template.response import TemplateResponse

from django_multisession.bridge import driven
from django_multisession.testing.drive import either
from tests.middleware.conftest import OURS, SESSIONS, Body, Visitor, put
from tests.middleware.engine import Switchable

TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {
        "context_processors": [
            "django.template.context_processors.request",
            "django.contrib.messages.context_processors.messages",
        ]
    },
}
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


async def view_that_reads(request: Any) -> None:
    await either(request.session.get, request.session.aget, "n")


async def view_that_saves(request: Any) -> None:
    await either(request.session.update, request.session.aupdate, {"n": 2})


async def untouching(request: Any) -> HttpResponse:
    return HttpResponse("made without a session")


async def rendering(request: Any) -> TemplateResponse:
    return TemplateResponse(request, "reads.html")


async def messaging(request: Any) -> None:
    messages.info(request, "Hello")


PATHS: dict[str, tuple[list[str], Body]] = {
    "view": ([], view_that_reads),
    "save": ([], view_that_saves),
    "login_required": ([AUTH, LOGIN_REQUIRED], untouching),
    "messages": ([MESSAGES], messaging),
    "template": ([MESSAGES], rendering),
    "preload": ([], untouching),
}


@pytest.fixture
def templates(site: Any, tmp_path: Path) -> Path:
    (tmp_path / "reads.html").write_text("{{ request.session.n }}{% if messages %}…{% endif %}")
    site.TEMPLATES = [{**TEMPLATES, "DIRS": [tmp_path]}]
    site.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
    return tmp_path


@pytest.fixture(params=PATHS)
def failing(request: pytest.FixtureRequest, site: Any, templates: Path, visitor: Visitor) -> Callable[..., Any]:
    """Return a function that makes a request which meets the outage on one of the paths."""
    more, body = PATHS[request.param]
    visitor.visit(put(n=1))
    site.MIDDLEWARE = [OURS, *more]
    site.MULTISESSION = {**SESSIONS, "default": {"LOCATION": "first", "PRELOAD": request.param == "preload"}}
    visitor.new_client()
    visitor.errors_as_responses()
    Switchable.go_down()
    return lambda **extra: visitor.visit(body, **extra)


def test_outage_is_503_on_every_path(failing: Callable[..., Any]) -> None:
    response = failing()
    assert response.status_code == 503
    assert "no-store" in response.headers["Cache-Control"]
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Content-Type"].startswith("text/html")
    assert b"Back in a moment" in response.content
    assert not response.cookies


def test_outage_is_one_line_in_all_logs(failing: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        assert failing().status_code == 503
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in errors] == ["django_multisession"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("text/html, application/json;q=0.5", "text/html"),
        ("*/*", "text/html"),
        ("image/png", "text/html"),
    ],
)
def test_outage_answers_in_the_format_that_is_asked_for(visitor: Visitor, accept: str, kind: str) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()
    response = visitor.visit(view_that_reads, headers={"accept": accept})
    assert response.headers["Content-Type"].partition(";")[0] == kind
    if kind == "application/json":
        assert set(response.json()) == {"error", "logged_out"}


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("debug", [False, True])
def test_outage_page_gives_the_reason_with_debug_alone(visitor: Visitor, site: Any, accept: str, debug: bool) -> None:
    visitor.visit(put(n=1))
    site.DEBUG = debug
    Switchable.go_down()
    page = visitor.visit(view_that_reads, headers={"accept": accept}).content.decode()
    assert ("switchable://127.0.0.1/first is unavailable: " in page) is debug


def test_outage_page_is_the_projects_where_it_has_one(visitor: Visitor, templates: Path) -> None:
    visitor.visit(put(n=1))
    (templates / "503_sessions.html").write_text("Our own page")
    Switchable.go_down()
    assert visitor.visit(view_that_reads).content == b"Our own page"


def test_outage_without_any_template_is_plain_text(visitor: Visitor, site: Any) -> None:
    visitor.visit(put(n=1))
    site.TEMPLATES = []
    Switchable.go_down()
    response = visitor.visit(view_that_reads)
    assert (response.status_code, response.headers["Content-Type"]) == (503, "text/plain")


def test_other_errors_are_still_logged(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    async def view(request: Any) -> None:
        raise ZeroDivisionError

    visitor.errors_as_responses()
    assert visitor.visit(view).status_code == 500
    assert [record.name for record in caplog.records] == ["django.request"]


def test_page_of_a_view_that_expects_outages_is_not_cached(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    from django_multisession.exceptions import StoreUnavailable

    async def view(request: Any) -> HttpResponse:
        with pytest.raises(StoreUnavailable):
            await either(request.session.get, request.session.aget, "n")
        return HttpResponse("without", headers={"Cache-Control": "public, max-age=60"})

    visitor.visit(put(n=1))
    Switchable.go_down()
    response = visitor.visit(view)
    assert response.content == b"without"
    assert {"private", "no-store"} <= set(response.headers["Cache-Control"].split(", "))
    assert "public" not in response.headers["Cache-Control"]
    assert len(caplog.records) == 1


# ON_OUTAGE.


@pytest.fixture
def anonymous(site: Any) -> None:
    site.MULTISESSION = {**SESSIONS, "default": {"LOCATION": "first", "ON_OUTAGE": "anonymous"}}


@pytest.mark.usefixtures("anonymous")
@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_anonymous_session_that_was_written_to_is_an_outage(visitor: Visitor, method: str) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()

    async def view(request: Any) -> None:
        await either(request.session.update, request.session.aupdate, {"n": 2})
        Switchable.come_back()

    response = visitor.visit(view, method=method)
    assert response.status_code == 503  # a 200 would have dropped it in silence
    assert not response.cookies
    assert visitor.data() == {"n": 1}


@pytest.mark.usefixtures("anonymous")
@pytest.mark.parametrize("operation", ["save", "create", "cycle_key"])
def test_anonymous_session_that_is_saved_by_the_view_is_an_outage(visitor: Visitor, operation: str) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()

    async def view(request: Any) -> None:
        await either(request.session.update, request.session.aupdate, {"n": 2})
        await either(getattr(request.session, operation), getattr(request.session, f"a{operation}"))

    assert visitor.visit(view).status_code == 503
    Switchable.come_back()
    assert visitor.data() == {"n": 1}


@pytest.mark.usefixtures("anonymous")
@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_anonymous_session_is_empty_and_never_saved(
    visitor: Visitor, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()

    async def view(request: Any) -> None:
        assert not await either(request.session.items, request.session.aitems)
        request.session.modified = True
        Switchable.come_back()

    response = visitor.visit(view, method=method)
    assert response.status_code == 200
    assert {"private", "no-store"} <= set(response.headers["Cache-Control"].split(", "))
    assert not response.cookies
    assert visitor.data() == {"n": 1}
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["ERROR"]


@pytest.mark.usefixtures("anonymous")
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_anonymous_session_is_for_safe_methods_only(visitor: Visitor, method: str) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()
    assert visitor.visit(view_that_reads, method=method).status_code == 503


async def logging_in(request: Any) -> None:
    user = User(pk=1, username="someone")
    user.backend = "django.contrib.auth.backends.ModelBackend"
    if driven():
        login(request, user)
    else:
        await alogin(request, user)


async def logging_out(request: Any) -> None:
    if driven():
        logout(request)
    else:
        await alogout(request)


async def flushing(request: Any) -> None:
    await either(request.session.flush, request.session.aflush)


@pytest.mark.usefixtures("anonymous")
@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("body", [logging_in, flushing])
def test_anonymous_session_refuses_what_must_not_be_lost(visitor: Visitor, body: Body, read_before: bool) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()

    async def view(request: Any) -> None:
        if read_before:
            await view_that_reads(request)
        await body(request)

    assert visitor.visit(view).status_code == 503


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("body", [flushing, logging_out])
@pytest.mark.parametrize("kind", ["error", "anonymous"])
def test_logout_in_an_outage_deletes_the_cookie(
    visitor: Visitor, site: Any, kind: str, body: Body, loaded: bool
) -> None:
    site.MULTISESSION = {**SESSIONS, "default": {"LOCATION": "first", "ON_OUTAGE": kind}}
    visitor.visit(put(n=1))

    async def view(request: Any) -> None:
        if loaded:
            await view_that_reads(request)
        Switchable.go_down()
        await body(request)

    response = visitor.visit(view, method="post")
    assert response.status_code == 503
    assert response.cookies["sessionid"]["max-age"] == 0


def test_ending_in_an_outage_deletes_the_cookie(visitor: Visitor) -> None:
    visitor.visit(put(n=1))

    async def view(request: Any) -> None:
        Switchable.go_down()
        request.session.set_cookie_options(max_age=-1)

    response = visitor.visit(view, method="post")
    assert response.status_code == 503
    assert response.cookies["sessionid"]["max-age"] == 0


def test_outage_of_one_session_leaves_a_request_alone_that_does_not_use_it(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    Switchable.go_down()
    assert visitor.visit(put("cart", n=1)).status_code == 200
