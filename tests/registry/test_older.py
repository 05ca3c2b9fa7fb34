"""Sessions from before the registry, or without it: a row at their first load, unless they were revoked."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from django_multisession.bridge import driven
from django_multisession.envelope import REGISTERED
from django_multisession.registry import arevoke_all, revoke_all
from django_multisession.registry.database import alias, ask
from django_multisession.registry.models import RegisteredUser
from django_multisession.registry.rows import is_refused, refuse_earlier
from django_multisession.sessions.loading import session_class
from django_multisession.sessions.registration import registrations
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Users
from tests.registry.test_costs import of
from tests.registry.test_rows import live, row_and_key, rows
from tests.registry.told import Told

USER = Users().get_user(VICTIM)
MOMENT = timedelta(microseconds=1)


def test_older_session_has_a_row_and_the_mark_from_its_first_load_on(site: Site, older: Browser) -> None:
    assert of(site, older, Exchange.look) != []
    row, key = site.drive(row_and_key(older))
    assert (row.storage_key, row.ip_address) == (key, "127.0.0.1")
    assert of(site, older, Exchange.look) == []
    request = older.request()
    site.drive(request.look())
    assert request.session.stored_login().header.flags & REGISTERED
    assert site.drive(older.finds()) == {"user": VICTIM, "cart": ["book"]}


def test_older_session_is_refused_if_its_user_was_revoked_since(site: Site, older: Browser, told: Told) -> None:
    async def check() -> None:
        assert await arevoke_all(USER) == 0
        assert await older.finds() == {"user": None}
        assert await live() == []
        assert [(name, each["reason"], each["user_id"]) for name, each in told.all] == [("rejected", "revoked", VICTIM)]
        # Its record has gone as well.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registrations, "make", None)
            assert await older.finds() == {"user": None}

    site.drive(check())


def test_older_session_lives_if_its_login_came_after_the_revocation(site: Site, older: Browser) -> None:
    async def check() -> None:
        long_ago = timezone.now() - timedelta(hours=1)
        await ask(lambda: RegisteredUser.objects.create(user_id=VICTIM, revoked_at=long_ago))
        assert await older.finds() == {"user": VICTIM, "cart": ["book"]}
        assert len(await live()) == 1

    site.drive(check())


def test_login_of_the_very_moment_of_a_revocation_counts_as_before_it(site: Site) -> None:
    async def check() -> None:
        await ask(lambda: refuse_earlier(VICTIM))
        found = await ask(lambda: RegisteredUser.objects.get(user_id=VICTIM))
        assert found.revoked_at is not None
        for since, refused in ((None, True), (found.revoked_at, True), (found.revoked_at + MOMENT, False)):
            assert await ask(partial(is_refused, VICTIM, since)) is refused

    site.drive(check())


def test_older_session_that_is_loaded_twice_at_once_has_one_row(site: Site, older: Browser) -> None:
    async def look() -> Any:
        request = older.request()
        return (await request.user()).pk

    assert site.drive.together([look] * 8) == [VICTIM] * 8
    assert len(site.drive(live())) == 1


def test_row_that_has_no_mark_yet_outlives_the_revocation_of_others(site: Site, older: Browser) -> None:
    """Its mark was lost with a swap."""

    async def check() -> None:
        request = older.request()
        await request.look()
        record = request.session.life.loaded
        assert await arevoke_all(USER, keep=request.request) == 0
        plain = record.header._replace(flags=0, version=b"new one.")
        records = request.session.records()
        assert await records.replace(record, record.plaintext, plain, 1000)
        assert (await older.finds())["user"] == VICTIM

    site.drive(check())


# Outside of requests.


async def log_in_outside(key: str | None = None) -> Any:
    session: Any = session_class("default")(key)
    data = {
        "_auth_user_id": str(VICTIM),
        "_auth_user_backend": f"{Users.__module__}.{Users.__qualname__}",
        "_auth_user_hash": USER.get_session_auth_hash(),
    }
    if driven():
        session.update(data)
        session.save()
    else:
        await session.aupdate(data)
        await session.asave()
    return session


def test_login_outside_of_requests_has_its_row_at_once(site: Site) -> None:
    async def check() -> None:
        Users.passwords.clear()
        session = await log_in_outside()
        browser = site.browser(session.session_key)
        row, key = await row_and_key(browser)
        assert (row.storage_key, row.ip_address) == (key, None)
        if driven():
            session.cycle_key()
        else:
            await session.acycle_key()
        after, new = await row_and_key(site.browser(session.session_key))
        assert (after.pk, after.storage_key) == (row.pk, new)
        if driven():
            session.flush()
        else:
            await session.aflush()
        assert await live() == []

    site.drive(check())


@pytest.mark.parametrize("is_kept", [True, False])
def test_login_in_an_event_loop_in_a_transaction_has_its_row_with_the_commit(site: Site, is_kept: bool) -> None:
    if site.colour != "sync":
        pytest.skip("Transactions of Django's belong to threads.")

    async def check() -> None:
        assert len(await live()) == is_kept
        assert (await site.browser(session.session_key).finds())["user"] == VICTIM
        assert len(await live()) == 1

    Users.passwords.clear()
    with transaction.atomic(alias()):
        session = async_to_sync(log_in_outside)()
        transaction.set_rollback(not is_kept, alias())
    site.drive(check())


@pytest.mark.parametrize("is_kept", [True, False])
def test_login_in_a_transaction_has_its_row_with_the_commit(site: Site, is_kept: bool) -> None:
    if site.colour != "sync":
        pytest.skip("Transactions of Django's belong to threads.")

    async def check() -> None:
        Users.passwords.clear()
        with transaction.atomic(alias()):
            session = await log_in_outside()
            assert await live() == []
            transaction.set_rollback(not is_kept, alias())
        assert len(await live()) == is_kept
        # What shares no transaction lives on, and has its row from its first load on.
        assert (await site.browser(session.session_key).finds())["user"] == VICTIM
        assert len(await live()) == 1

    site.drive(check())


@pytest.mark.parametrize("act", ["cycle_key", "flush"])
def test_change_outside_of_requests_that_is_rolled_back_leaves_its_record_and_a_row_to_revoke(
    site: Site, act: str
) -> None:
    """The store has done at once what the row has not: no record comes back, and none is beyond a revocation."""
    if site.colour != "sync":
        pytest.skip("Transactions of Django's belong to threads.")

    async def check() -> None:
        Users.passwords.clear()
        session = await log_in_outside()
        before = session.session_key
        with transaction.atomic(alias()):
            getattr(session, act)()
            transaction.set_rollback(True, alias())
        (row,) = await live()
        assert row.storage_key == session.records().key(before).storage_key
        assert (await site.browser(before).finds())["user"] is None
        if act == "cycle_key":
            assert (await site.browser(session.session_key).finds())["user"] == VICTIM
            assert len(await live()) == 2
        assert revoke_all(USER) == len(await rows())
        for key in filter(None, (before, session.session_key)):
            assert (await site.browser(key).finds())["user"] is None
        assert await live() == []

    site.drive(check())


def test_login_of_a_user_who_is_rolled_back_is_nobodys(site: Site) -> None:
    if site.colour != "sync":
        pytest.skip("Transactions of Django's belong to threads.")
    key = 3

    async def check() -> None:
        with transaction.atomic(alias()):
            User.objects.create(pk=key, username="third")
            session = await log_in_outside()
            session["_auth_user_id"] = str(key)
            session.clear()
            session.update({"_auth_user_id": str(key), "_auth_user_hash": "x"})
            session.save()
            transaction.set_rollback(True, alias())
        request = site.browser(session.session_key).request()
        await request.look()
        assert request.session.get("_auth_user_id") is None
        assert await live() == []

    site.drive(check())
