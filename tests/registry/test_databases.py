"""The registry on each kind of database, whose locks differ; and views in transactions, as ATOMIC_REQUESTS has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from django_multisession.registry import arevoke_all, revoke_all, sessions_of
from django_multisession.registry.database import ask, shared
from django_multisession.registry.many import revoke_users
from django_multisession.registry.models import PendingDeletion, RegisteredSession, RegisteredUser
from django_multisession.registry.rows import lock, refuse_earlier
from django_multisession.testing.drive import PATIENCE
from tests.databases import sqlite
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange, Users
from tests.registry.sites import ALIAS
from tests.registry.test_limits import limited, log_in  # noqa: F401 - a fixture
from tests.registry.test_rows import live, rows
from tests.registry.told import Told
from tests.system.backends import leave_thread

DATABASES = {"sqlite": None, "postgresql": "postgresql_server", "mariadb": "mariadb_server"}
USER = Users().get_user(VICTIM)
A_WHILE = 0.5
"""Seconds in which what does not wait for a transaction is through."""


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.server] if server else []) for name, server in DATABASES.items()]
)
def registry_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    server = DATABASES[request.param]
    if server is not None:
        return request.getfixturevalue(server).location
    (tmp_path / "registry").mkdir()
    return sqlite(tmp_path / "registry", transaction_mode="IMMEDIATE", timeout=30)


in_memory = pytest.mark.parametrize("backend", ["memory"], indirect=True)
in_sync = pytest.mark.parametrize("drive", ["sync"], indirect=True)


@pytest.fixture
def same(site: Site, settings: Any) -> Site:
    """Keep the sessions where the users and the registry are."""
    settings.SESSION_ENGINE = "django_multisession.engines.db"
    settings.MULTISESSION = {"default": {"TIMEOUT": 20.0, "LOCATION": ALIAS}}
    Users.passwords.clear()
    return Site("db", site.drive, site.most)


@in_memory
def test_logins_at_once_leave_as_many_as_allowed(limited: Site) -> None:  # noqa: F811 - the fixture
    limited.drive.together([partial(log_in, limited)] * 20)
    assert len(limited.drive(live())) == 3
    assert len(limited.drive(rows())) == 20


@in_memory
def test_changes_of_key_and_a_revocation_at_once_leave_nothing(site: Site) -> None:
    async def change(request: Exchange) -> None:
        await request.cycle_key()
        await request.respond(races=True)

    for _ in range(6):
        browser = site.drive(site.user())
        requests = [browser.request() for _ in range(4)]
        for request in requests:
            site.drive(request.look())

        async def revoke() -> None:
            await arevoke_all(USER)

        acts: list[Any] = [*(partial(change, request) for request in requests), revoke]
        site.drive.together(acts)
        keys = {browser.key, *(request.sent for request in requests if request.sent)}
        assert [key for key in keys if site.drive(site.browser(key).finds())["user"] is not None] == []
        assert site.drive(live()) == []


@in_memory
def test_changes_of_key_at_once_leave_one_row(site: Site) -> None:
    async def change(request: Exchange) -> None:
        await request.cycle_key()
        await request.respond(races=True)

    browser = site.drive(site.user())
    requests = [browser.request() for _ in range(6)]
    for request in requests:
        site.drive(request.look())
    site.drive.together([partial(change, request) for request in requests])
    assert {request.response.status_code for request in requests} == {200}
    (row,) = site.drive(live())
    (sent,) = {request.sent for request in requests}
    assert sent is not None
    assert row.storage_key == requests[0].session.records().key(sent).storage_key
    assert row.storage_key not in site.drive(ask(lambda: [pending.pk for pending in PendingDeletion.objects.all()]))


@in_memory
@in_sync
def test_user_who_is_deleted_or_deactivated_has_no_session(site: Site) -> None:
    browsers = [site.drive(site.user()) for _ in range(3)]
    other = site.browser()
    site.drive(other.visit(lambda request: request.login(ATTACKER)))
    user = User.objects.get(pk=ATTACKER)
    user.is_active = False
    user.save()
    assert site.drive(other.finds()) == {"user": None}
    with transaction.atomic(ALIAS):
        User.objects.get(pk=VICTIM).delete()
        assert all(site.drive(browser.finds())["user"] for browser in browsers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Users, "get_user", lambda *args: None)  # nothing but the records is looked at
        for browser in browsers:
            request = browser.request()
            site.drive(request.look())
            assert request.session.session_key is None
    assert site.drive(rows(user=VICTIM)) == []
    assert PendingDeletion.objects.count() == 0


@in_memory
@pytest.mark.parametrize("view", [Exchange.login, Exchange.cycle_key])
def test_login_of_a_user_who_is_deleted_meanwhile_is_refused(site: Site, told: Told, view: Any) -> None:
    async def check() -> None:
        browser = await (site.visitor if view is Exchange.login else site.user)(cart=["book"])
        told.all.clear()
        request = browser.request()
        await view(request)
        created = request.session.session_key
        await ask(lambda: User.objects.get(pk=VICTIM).delete())
        await request.respond(races=True)
        assert (request.response.status_code, request.sent) == (400, None)
        assert await rows() == []
        assert await site.browser(created).finds() == {"user": None}
        assert told.all == []

    site.drive(check())


@in_memory
def test_first_load_of_a_user_who_is_deleted_is_refused(site: Site, older: Browser) -> None:
    async def check() -> None:
        await ask(lambda: User.objects.get(pk=VICTIM).delete())
        assert await older.finds() == {"user": None}
        assert await rows() == []

    site.drive(check())


@in_memory
@in_sync
def test_database_itself_deletes_no_user_who_has_rows(site: Site) -> None:
    browser = site.drive(site.user())
    alone = User.objects.filter(pk=VICTIM)
    with pytest.raises(IntegrityError), transaction.atomic(ALIAS):
        alone._raw_delete(ALIAS)
    assert revoke_all(USER) == 1
    for model in (RegisteredSession, RegisteredUser):
        model.objects.filter(user=VICTIM).delete()
    alone._raw_delete(ALIAS)
    assert site.drive(browser.finds()) == {"user": None}


@in_memory
@in_sync
@pytest.mark.parametrize("is_kept", [True, False])
def test_revocation_counts_with_its_transaction(site: Site, is_kept: bool) -> None:
    browser = site.drive(site.user())
    with transaction.atomic(ALIAS):
        assert revoke_all(USER) == 1
        assert sessions_of(USER) == []
        assert site.drive(browser.finds())["user"] == VICTIM
        transaction.set_rollback(not is_kept, ALIAS)
    assert site.drive(browser.finds())["user"] == (None if is_kept else VICTIM)
    assert len(sessions_of(USER)) == (0 if is_kept else 1)


@contextmanager
def revoking_in_a_transaction() -> Iterator[threading.Event]:
    """Revoke the user in a transaction of another thread, which commits once the event is set; or for what waits."""
    revoked, goes_on = threading.Event(), threading.Event()

    def revoke() -> None:
        try:
            with transaction.atomic(ALIAS):
                revoke_all(USER)
                revoked.set()
                goes_on.wait(A_WHILE)
        finally:
            leave_thread()

    with ThreadPoolExecutor(1) as thread:
        transacting = thread.submit(revoke)
        assert revoked.wait(PATIENCE)
        yield goes_on
        transacting.result()


@in_memory
@pytest.mark.parametrize("is_first", [True, False])
def test_login_that_meets_a_revocation_under_way_is_refused(site: Site, is_first: bool) -> None:
    if not is_first:
        site.drive(arevoke_all(USER))
    browser = site.drive(site.visitor(cart=["book"]))
    request = browser.request()
    site.drive(request.login())
    with revoking_in_a_transaction() as goes_on:
        site.drive(request.respond())
        goes_on.set()
    assert request.response.status_code == 400
    assert request.sent is None
    assert site.drive(live()) == []


# The hosts of a site may have clocks that differ: the database's is one for all.

APART = 30
"""Seconds, which is less than a record or cookie allows."""


@contextmanager
def clock_off(seconds: float) -> Iterator[None]:
    """Have this process take for the time of now what differs from it, as a host with a wrong clock does."""
    now, today = time.time, timezone.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + seconds)
        patch.setattr(timezone, "now", lambda: today() + timedelta(seconds=seconds))
        yield


@in_memory
@pytest.mark.parametrize(("revokes", "logs_in"), [(APART, 0), (0, -APART)])
def test_login_after_a_revocation_by_a_host_whose_clock_is_ahead_stands(site: Site, revokes: int, logs_in: int) -> None:
    with clock_off(revokes):
        site.drive(arevoke_all(USER))
    with clock_off(logs_in):
        browser = site.drive(site.user())
    assert site.drive(browser.finds())["user"] == VICTIM


@in_memory
@in_sync
def test_login_after_everybody_was_revoked_by_a_host_whose_clock_is_ahead_stands(site: Site) -> None:
    with clock_off(APART):
        revoke_everybody()
    browser = site.drive(site.user())
    assert site.drive(browser.finds())["user"] == VICTIM


@in_memory
@pytest.mark.parametrize(("logs_in", "revokes"), [(APART, 0), (0, -APART)])
def test_login_under_way_at_a_revocation_by_a_host_whose_clock_is_behind_is_refused(
    site: Site, logs_in: int, revokes: int
) -> None:
    browser = site.drive(site.visitor(cart=["book"]))
    request = browser.request()
    with clock_off(logs_in):
        site.drive(request.login())
    with clock_off(revokes):
        site.drive(arevoke_all(USER))
    with clock_off(logs_in):
        site.drive(request.respond())
    assert request.response.status_code == 400
    assert site.drive(live()) == []


@in_memory
@in_sync
def test_revocation_is_not_as_much_earlier_as_the_database_s_time_was_under_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, behind = timezone.now, timedelta(seconds=APART)

    def answer_late(execute: Callable[..., Any], *question: Any) -> Any:
        nonlocal behind
        answer = execute(*question)
        behind -= timedelta(seconds=APART / 3)  # so many seconds go by until this host has the answer
        return answer

    before = now()
    monkeypatch.setattr(timezone, "now", lambda: now() - behind)
    with connections[ALIAS].execute_wrapper(answer_late):
        revoked_at = shared(timezone.now())
    assert before - timedelta(seconds=1) < revoked_at < now() + timedelta(seconds=1)


@in_memory
@pytest.mark.parametrize("is_first", [True, False])
def test_first_load_that_meets_a_revocation_under_way_is_refused(site: Site, older: Browser, is_first: bool) -> None:
    if not is_first:
        site.drive(ask(lambda: RegisteredUser.objects.create(user_id=VICTIM)))
    with revoking_in_a_transaction() as goes_on:
        found = site.drive(older.finds())
        goes_on.set()
    assert found == {"user": None}
    assert site.drive(live()) == []


def revoke_everybody() -> None:
    assert list(revoke_users(timezone.now())) == [2]


def delete_user() -> None:
    User.objects.get(pk=VICTIM).delete()


@in_memory
@in_sync
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("meets", [revoke_everybody, delete_user])
def test_revocation_of_a_user_meets_others_without_a_deadlock(
    site: Site, is_known: bool, meets: Callable[[], None]
) -> None:
    """Whoever writes what the registry knows of a user locks that user first."""
    if is_known:
        RegisteredUser.objects.create(user_id=VICTIM)
    leave_thread()

    def meet() -> None:
        try:
            meets()
        finally:
            leave_thread()

    with ThreadPoolExecutor() as pool:
        with transaction.atomic(ALIAS):  # as revoke_all() does
            lock(VICTIM, holds_logins=True)
            met = pool.submit(meet)
            assert wait([met], timeout=A_WHILE).not_done
            refuse_earlier(VICTIM)
        met.result(PATIENCE)


# A view's transaction, with the records in it.


@in_memory
@in_sync
@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("act", [Exchange.login, Exchange.cycle_key, Exchange.logout])
def test_view_in_a_transaction_leaves_rows_and_records_alike(same: Site, act: Any, raises: bool) -> None:
    browser = same.drive(same.visitor(cart=["book"]) if act is Exchange.login else same.user(cart=["book"]))
    before = browser.key
    request = browser.request()
    with transaction.atomic(ALIAS):
        same.drive(request.look())
        same.drive(act(request))
        transaction.set_rollback(raises, ALIAS)
    same.drive(request.respond(500 if raises else 200))
    same.drive(request.answer())
    user = same.drive(browser.finds())["user"]
    is_in = {Exchange.login: not raises, Exchange.cycle_key: True, Exchange.logout: False}[act]
    assert user == (VICTIM if is_in else None)
    assert len(same.drive(live())) == is_in
    revoke_all(USER)
    for key in {before, browser.key, request.session.session_key} - {None}:
        assert same.drive(same.browser(key).finds())["user"] is None
