"""What error mails, the debug page and Sentry are shown: no session key, no password, no session's data."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from django.core import mail
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils.log import AdminEmailHandler
from pytest_django.plugin import DjangoDbBlocker
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.transport import Transport

from django_multisession.runtime import reset
from django_multisession.sessions.loading import session_class
from tests.databases import database, sqlite

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Django: ADMINS and mailers
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

OURS = "django_multisession.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
PASSWORD = f"hunter2-{6 * 7}-obviously-fake"
PRIVATE = f"what nobody else may read, {7 * 7}"
SIZE = 300_000
ALIAS = "sessions"


def _late(request: HttpRequest) -> HttpResponse:
    for session in getattr(request, "sessions", {"default": request.session}).values():
        session["large"] = "x" * SIZE
    return HttpResponse()


def _read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("a")))


def _large(request: HttpRequest) -> HttpResponse:
    request.session["large"] = "x" * SIZE
    request.session.save()
    return HttpResponse()


def _odd(request: HttpRequest) -> HttpResponse:
    request.session["odd"] = {"deep": object()}
    request.session.save()
    return HttpResponse()


def _login(request: HttpRequest) -> HttpResponse:
    request.session["odd"] = object()
    request.session.cycle_key()
    return HttpResponse()


def _put(request: HttpRequest) -> HttpResponse:
    request.session["a"] = PRIVATE
    return HttpResponse()


def _race(request: HttpRequest) -> HttpResponse:
    request.session.get("n")
    _change_elsewhere(request.session.session_key)
    request.session["n"] = 1
    return HttpResponse()


def _in_transaction(request: HttpRequest) -> HttpResponse:
    request.session["n"] = 1
    with transaction.atomic(ALIAS):
        request.session.save()
    return HttpResponse()


def _change_elsewhere(key: str | None) -> None:
    other = session_class("default")(key)
    other["n"] = 2
    other.save()


async def _alate(request: Any) -> HttpResponse:
    for session in getattr(request, "sessions", {"default": request.session}).values():
        await session.aset("large", "x" * SIZE)
    return HttpResponse()


async def _aread(request: Any) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("a")))


async def _alarge(request: Any) -> HttpResponse:
    await request.session.aset("large", "x" * SIZE)
    await request.session.asave()
    return HttpResponse()


async def _aodd(request: Any) -> HttpResponse:
    await request.session.aset("odd", {"deep": object()})
    await request.session.asave()
    return HttpResponse()


async def _alogin(request: Any) -> HttpResponse:
    await request.session.aset("odd", object())
    await request.session.acycle_key()
    return HttpResponse()


async def _arace(request: Any) -> HttpResponse:
    await request.session.aget("n")
    other = session_class("default")(request.session.session_key)
    await other.aset("n", 2)
    await other.asave()
    del other
    await request.session.aset("n", 1)
    return HttpResponse()


async def _aput(request: Any) -> HttpResponse:
    await request.session.aset("a", PRIVATE)
    return HttpResponse()


VIEWS: dict[str, Any] = {
    "read": _read,
    "large": _large,
    "odd": _odd,
    "put": _put,
    "race": _race,
    "login": _login,
    "late": _late,
}
AVIEWS: dict[str, Any] = {
    "read": _aread,
    "large": _alarge,
    "odd": _aodd,
    "put": _aput,
    "race": _arace,
    "login": _alogin,
    "late": _alate,
}
urlpatterns = [
    *(path(f"sync/{name}/", view) for name, view in VIEWS.items()),
    *(path(f"async/{name}/", view) for name, view in AVIEWS.items()),
    path("sync/in-transaction/", _in_transaction),
]

LOCATIONS = {
    "redis": f"redis://:{PASSWORD}@127.0.0.1:1/0",
    "mongodb": f"mongodb://user:{PASSWORD}@127.0.0.1:1/sessions",
    "memory": None,
}


def use(settings: Any, engine: str, location: str | None = None) -> None:
    settings.SESSION_ENGINE = f"django_multisession.engines.{engine}"
    settings.MULTISESSION = {"default": {} if location is None else {"LOCATION": location}}


@pytest.fixture(params=[OURS, DJANGOS], ids=["ours", "djangos"])
def site(request: pytest.FixtureRequest, settings: Any) -> Iterator[Any]:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [request.param]
    settings.ADMINS = [("Admin", "admin@example.org")]
    settings.DEBUG = False

    reset()
    yield settings
    reset()


@pytest.fixture
def mails() -> Iterator[list[Any]]:
    """Mail everything that is logged as an error, in HTML as well."""
    handler = AdminEmailHandler(include_html=True)
    handler.setLevel("ERROR")
    loggers = [logging.getLogger(name) for name in ("django.request", "django_multisession", "django")]
    for logger in loggers:
        logger.addHandler(handler)
    yield mail.outbox
    for logger in loggers:
        logger.removeHandler(handler)


class Collected(Transport):
    """Keeps what would go to Sentry's server."""

    def __init__(self, sent: list[Any]) -> None:
        super().__init__()
        self.sent = sent

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent += [item.payload.json for item in envelope.items]


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """Collect what Sentry would be sent, personal data included."""
    sent: list[Any] = []
    client = sentry_sdk.Client(
        dsn="http://public@127.0.0.1:1/1",
        transport=Collected(sent),
        integrations=[DjangoIntegration()],
        default_integrations=True,
    )
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        sentry_sdk.get_global_scope().set_client(client)
        yield sent
    sentry_sdk.get_global_scope().set_client(None)
    client.close(0)


def told(mails: list[Any], events: list[Any]) -> str:
    bodies = [part for each in mails for part in (each.subject, each.body, *(a[0] for a in each.alternatives))]
    return "\n".join([*bodies, *(json.dumps(event, default=repr) for event in events)])


def ask(colour: str, name: str, key: str | None) -> Any:
    client: Any = AsyncClient() if colour == "async" else Client()
    client.raise_request_exception = False
    if key is not None:
        client.cookies["sessionid"] = key
    response = client.get(f"/{colour}/{name}/")
    return asyncio.run(response) if colour == "async" else response


KEY = "0123456789abcdefghijklmnopqrstuv"


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("engine", ["redis", "mongodb"])
def test_outage_tells_neither_password_nor_key(
    site: Any, mails: list[Any], events: list[Any], engine: str, colour: str
) -> None:
    use(site, engine, LOCATIONS[engine])
    assert ask(colour, "read", KEY).status_code >= 500
    assert mails
    said = told(mails, events)
    assert PASSWORD not in said
    assert KEY not in said


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("page", ["large", "odd"])
def test_session_that_cannot_be_saved_tells_its_key_and_not_the_rest(
    site: Any, mails: list[Any], events: list[Any], page: str, colour: str
) -> None:
    use(site, "memory")
    key = ask(colour, "put", None).cookies["sessionid"].value
    assert ask(colour, page, key).status_code == 500
    assert mails
    assert events
    said = told(mails, events)
    assert f"'{page}'" in said.replace("&#x27;", "'")
    assert PRIVATE not in said
    assert key not in said
    assert len(said) < SIZE
    assert "xxxxxxxxxx" not in said


@pytest.mark.parametrize("page", ["login", "late"])
@pytest.mark.parametrize("engine", ["memory", "signed_cookies", "encrypted_cookies"])
def test_sessions_that_cannot_be_saved_at_the_end_tell_nothing_of_the_rest(
    site: Any, mails: list[Any], events: list[Any], page: str, engine: str
) -> None:
    use(site, engine)
    named = {"cart": {"ENGINE": site.SESSION_ENGINE}} if OURS in site.MIDDLEWARE else {}
    site.MULTISESSION = {**site.MULTISESSION, **named}
    for colour in ("sync", "async"):
        key = ask(colour, "put", None).cookies["sessionid"].value
        assert ask(colour, page, key).status_code == 500
    said = told(mails, events)
    assert len(events) >= 2
    assert PRIVATE not in said
    assert key not in said
    assert "xxxxxxxxxx" not in said


class Clumsy:
    """A serializer that fails in its own way."""

    def dumps(self, data: dict[str, Any]) -> bytes:
        if "odd" in data:
            raise AttributeError("of something inside")
        return json.dumps(data).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


def clumsy(base: Any, theirs: Any, ours: Any) -> None:
    raise ZeroDivisionError


CLUMSY = {"odd": {"SERIALIZER": f"{__name__}.Clumsy"}, "race": {"MERGE": {"n": f"{__name__}.clumsy"}}}


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("page", CLUMSY)
def test_code_of_the_project_that_fails_tells_nothing_of_the_rest(
    site: Any, mails: list[Any], events: list[Any], page: str, colour: str
) -> None:
    use(site, "memory")
    site.MULTISESSION = {"default": CLUMSY[page]}
    key = ask(colour, "put", None).cookies["sessionid"].value
    assert ask(colour, page, key).status_code == 500
    assert events
    said = told(mails, events)
    assert "of type dict" in said if page == "odd" else "ZeroDivisionError" in said
    assert PRIVATE not in said
    assert key not in said


def test_error_of_the_database_in_a_transaction_tells_nothing_of_the_rest(
    site: Any, mails: list[Any], events: list[Any], tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock(), database(sqlite(tmp_path, timeout=0.1), ALIAS):
        use(site, "db", ALIAS)
        site.MULTISESSION = {"default": {**site.MULTISESSION["default"], "ENCRYPT": False}}
        key = ask("sync", "put", None).cookies["sessionid"].value
        with closing(sqlite3.connect(tmp_path / "sessions.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert ask("sync", "in-transaction", key).status_code == 500
    said = told(mails, events)
    assert "database is locked" in said
    assert PRIVATE not in said
    assert key not in said


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_outage_of_a_former_place_tells_neither_password_nor_key(
    site: Any, mails: list[Any], events: list[Any], colour: str
) -> None:
    use(site, "memory")
    fallback = {"ENGINE": "django_multisession.engines.redis", "LOCATION": LOCATIONS["redis"], "UNTIL": "2200-01-31"}
    site.MULTISESSION = {"default": {"FALLBACK": fallback}}
    assert ask(colour, "read", KEY).status_code >= 500
    assert mails
    said = told(mails, events)
    assert PASSWORD not in said
    assert KEY not in said


@pytest.mark.parametrize("page", ["read", "large", "odd"])
def test_debug_page_tells_no_secret(site: Any, page: str) -> None:
    engine = "redis" if page == "read" else "memory"
    if page != "read":
        use(site, "memory")
        key = ask("sync", "put", None).cookies["sessionid"].value
    else:
        key = KEY
    use(site, engine, LOCATIONS[engine])
    site.DEBUG = True
    body = ask("sync", page, key).content.decode()
    assert not [secret for secret in (PASSWORD, key, PRIVATE, "xxxxxxxxxx") if secret in body]


@pytest.mark.parametrize("engine", ["redis", "mongodb"])
def test_outage_outside_of_requests_tells_no_secret(
    settings: Any, mails: list[Any], events: list[Any], engine: str
) -> None:
    """As in a command or a task: somebody catches, and logs with a traceback."""
    settings.ADMINS = [("Admin", "admin@example.org")]
    settings.SESSION_ENGINE = f"django_multisession.engines.{engine}"
    settings.MULTISESSION = {"default": {"LOCATION": LOCATIONS[engine]}}
    reset()
    session = session_class("default")(KEY)
    session._session_cache = {"a": PRIVATE}
    actions: list[Callable[[], object]] = [session.load, session.save, session.create, session.delete]
    for action in actions:
        try:
            action()
        except Exception:
            logging.getLogger("django_multisession").exception("The task has failed")
    said = told(mails, events)
    assert "The task has failed" in said
    assert not [secret for secret in (PASSWORD, KEY, PRIVATE) if secret in said]


def _load() -> None:
    """Load a session in a frame that knows no location: the test's own is in no report then."""
    try:
        session_class("default")(KEY).load()
    except Exception:
        logging.getLogger("django_multisession").exception("It has failed")


ODD_LOCATIONS = [
    ("redis", f"redis://:{PASSWORD}/x@127.0.0.1"),
    ("redis", f"redis://:{PASSWORD}@127.0.0.1:port/0"),
    ("redis", f"http://:{PASSWORD}@127.0.0.1/0"),
    ("redis", f"redis://:{PASSWORD}@[::1/0"),
    ("redis", f"redis://:{PASSWORD}#x@127.0.0.1/0"),
    ("redis", f"redis://127.0.0.1/0?password={PASSWORD}"),
    ("mongodb", f"mongodb://user:{PASSWORD}/sessions"),
    ("mongodb", f"mongodb://user:{PASSWORD}@127.0.0.1:port/sessions"),
    ("mongodb", f"mongodb://user:{PASSWORD}@@127.0.0.1/sessions"),
    ("mongodb", f"http://user:{PASSWORD}@127.0.0.1/sessions"),
    ("memcached", f"user:{PASSWORD}@127.0.0.1:11211"),
    ("postgresql", f"postgresql://user:{PASSWORD}@127.0.0.1/x"),
    ("db", f"postgresql://user:{PASSWORD}@127.0.0.1/x"),
    ("db", f"user:{PASSWORD}@127.0.0.1"),
]


@pytest.mark.parametrize(("engine", "location"), ODD_LOCATIONS, ids=range(len(ODD_LOCATIONS)))
def test_location_that_does_not_parse_tells_no_password(
    settings: Any, mails: list[Any], events: list[Any], engine: str, location: str
) -> None:
    settings.ADMINS = [("Admin", "admin@example.org")]
    settings.SESSION_ENGINE = f"django_multisession.engines.{engine}"
    settings.MULTISESSION = {"default": {"LOCATION": location, "TIMEOUT": 0.5}}
    reset()
    _load()
    assert PASSWORD not in repr(session_class("default").config().entry)
    said = told(mails, events)
    assert PASSWORD not in said
    assert KEY not in said
