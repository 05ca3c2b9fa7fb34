"""The registry's database locked, or without its tables: what is said then is true."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from django_multisession.bridge import iterate
from django_multisession.exceptions import StoreUnavailable
from django_multisession.registry import RegistryUnavailable, revoke, revoke_all, revoke_where, sessions_of
from django_multisession.registry.checks import check_tables
from django_multisession.registry.database import alias
from django_multisession.registry.models import RegisteredSession
from django_multisession.sessions.base import MultisessionBase
from django_multisession.sessions.loading import session_class
from tests.logins.site import VICTIM, Users
from tests.registry.told import Told


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "-")


def log_in(request: HttpRequest) -> HttpResponse:
    user = Users().get_user(VICTIM)  # whose last_login is not written
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


urlpatterns = [path("devices/", include("django_multisession.registry.urls")), path("", whoami), path("login/", log_in)]
PAGE, OTHERS, API = "/devices/", "/devices/others", "/devices/api/sessions"


@pytest.fixture
def user(registry: None, settings: Any) -> User:
    settings.SESSION_ENGINE = "django_multisession.engines.memory"
    settings.MULTISESSION = {}
    settings.ROOT_URLCONF = __name__
    connections[alias()].cursor().execute("PRAGMA busy_timeout = 50")
    return User.objects.get(pk=VICTIM)


@pytest.fixture
def clients(user: User) -> list[Client]:
    """Two browsers of the user."""
    found = [Client(), Client()]
    for client in found:
        client.force_login(user)
    return found


@contextmanager
def locked() -> Iterator[None]:
    """Let another connection write until the end of the block."""
    other = sqlite3.connect(connections[alias()].settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_revocation_that_is_not_marked_is_no_outage_of_the_store(user: User, clients: list[Client]) -> None:
    (row, _) = sessions_of(user)
    with locked():
        for revocation in (partial(revoke, row), partial(revoke_all, user), partial(revoke_where, user=user)):
            with pytest.raises(RegistryUnavailable, match="did not answer, so sessions go on") as raised:
                revocation()
            assert not isinstance(raised.value, StoreUnavailable)
    assert len(sessions_of(user)) == 2


def test_login_whose_row_cannot_be_written_comes_to_nothing(user: User, told: Told) -> None:
    client, store = Client(), session_class("default").records().store
    before = set(iterate(store.scan()))
    with locked():
        assert client.get("/login/").status_code == 503
    assert "sessionid" not in client.cookies
    assert set(iterate(store.scan())) == before
    assert sessions_of(user) == []
    assert told.all == []


def test_use_that_cannot_be_written_down_is_dropped(
    user: User, clients: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    (before, _) = sessions_of(user)
    clock = MultisessionBase.clock
    monkeypatch.setattr(MultisessionBase, "clock", lambda session: clock(session) + 301)
    with locked():
        assert clients[1].get("/").content == b"user 1"
    (after, _) = sessions_of(user)
    assert after.last_seen == before.last_seen
    monkeypatch.setattr(MultisessionBase, "clock", lambda session: clock(session) + 602)
    clients[1].get("/")
    (after, _) = sessions_of(user)
    assert after.last_seen > before.last_seen


def test_outage_of_the_store_at_the_commit_is_logged(
    user: User, clients: list[Client], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def down(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("memory", "is away")

    store = session_class("default").records().store
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_many", down)
        with transaction.atomic(alias()):
            assert revoke_all(user) == 2
    assert "Revoked sessions could not be deleted yet; purgesessions will try again" in caplog.text
    assert sessions_of(user) == []
    assert [client.get("/").content for client in clients] == [b"user 1"] * 2  # said in docs/registry.md
    call_command("purgesessions", verbosity=0)
    assert [client.get("/").content for client in clients] == [b"-"] * 2


def test_page_that_cannot_mark_is_503_and_changes_nothing(user: User, clients: list[Client]) -> None:
    here, _ = clients
    listed = here.get(API).json()["sessions"]
    other = next(each["id"] for each in listed if not each["current"])
    with locked():
        for answer in (here.post(f"{PAGE}{other}"), here.post(OTHERS)):
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
        for answer in (here.delete(API), here.delete(f"{API}/{other}")):
            assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
            assert answer.headers["Retry-After"]
    assert len(here.get(API).json()["sessions"]) == 2


@pytest.mark.parametrize("chosen", [["--where", "user__pk=1"], ["--user", "user 1"], ["--all"]])
def test_revokesessions_that_cannot_mark_says_so(user: User, clients: list[Client], chosen: list[str]) -> None:
    with locked(), pytest.raises(CommandError, match=r"so sessions go on: .*run it again") as raised:
        call_command("revokesessions", "--yes", *chosen, stdout=io.StringIO())
    assert raised.value.returncode == 1
    assert len(sessions_of(user)) == 2


def test_missing_tables_are_named_with_the_command(user: User) -> None:
    assert check_tables(databases=[alias()]) == []
    connection = connections[alias()]
    with connection.schema_editor() as editor:
        editor.delete_model(RegisteredSession)
    try:
        (message,) = check_tables(databases=[alias()])
        assert message.id == "multisession.W009"
        assert f"migrate multisession_registry --database {alias()}" in message.msg
        assert check_tables(databases=[]) == check_tables() == []
        with pytest.raises(ImproperlyConfigured, match="tables of the registry are missing"):
            sessions_of(user)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(RegisteredSession)
