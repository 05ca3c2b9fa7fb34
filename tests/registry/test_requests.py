"""What one request does to several rows, or to one that others change: nobody else loses a session for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_multisession.exceptions import SessionNotSerializable
from django_multisession.registry import arevoke_all, revoke_all, rows, sessions_of
from django_multisession.registry.database import alias, ask
from django_multisession.registry.following import Following
from django_multisession.registry.models import PendingDeletion
from django_multisession.registry.purging import purge
from django_multisession.sessions.base import MultisessionBase
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Exchange, Users
from tests.registry.steps import Crash
from tests.registry.test_rows import live, row_and_key

USER = Users().get_user(VICTIM)


def limit(settings: Any, number: int, **more: Any) -> None:
    settings.MULTISESSION = {"default": {**settings.MULTISESSION["default"], "MAX_SESSIONS_PER_USER": number, **more}}


async def log_out_and_in(request: Exchange) -> None:
    await request.look()
    await request.logout()
    await request.login()


@pytest.mark.parametrize("mode", ["evict", "refuse"])
def test_logout_and_login_in_one_request_count_as_one(site: Site, settings: Any, mode: str) -> None:
    limit(settings, 2, ON_MAX_SESSIONS=mode)

    async def check() -> None:
        one, other = await site.user(), await site.user()
        await other.visit(log_out_and_in)
        assert [(await browser.finds())["user"] for browser in (one, other)] == [VICTIM, VICTIM]
        assert len(await live()) == 2

    site.drive(check())


def test_login_that_comes_to_nothing_evicts_nobody(site: Site, settings: Any) -> None:
    limit(settings, 1)

    async def check() -> None:
        device, visitor = await site.user(), await site.visitor(cart=["book"])
        first, second = visitor.request(), visitor.request()
        for request in (first, second):
            await request.look()
        await first.login(ATTACKER)
        await second.login(VICTIM)
        await first.respond()
        await second.respond(races=True)
        assert second.sent is None
        assert (await device.finds())["user"] == VICTIM

    site.drive(check())


def test_logout_ends_its_row_though_the_request_fails(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        request = browser.request()
        await request.look()
        await request.logout()
        await request.put(wrong=object())
        with pytest.raises(SessionNotSerializable):
            await request.respond()
        assert await live() == []

    site.drive(check())


def test_session_is_kept_though_another_tab_has_changed_its_key(site: Site) -> None:
    async def check() -> None:
        browser, other = await site.user(), await site.user()
        request = browser.request()
        await request.look()
        await browser.visit(lambda tab: tab.cycle_key())
        await arevoke_all(USER, keep=request.request)
        assert (await other.finds())["user"] is None
        assert (await browser.finds())["user"] == VICTIM

    site.drive(check())


def test_login_that_is_revoked_before_its_response_is_refused(site: Site) -> None:
    async def check() -> None:
        Users.passwords.clear()
        browser = site.browser()
        request = browser.request()
        await request.login()
        await arevoke_all(USER)
        await request.respond(races=True)
        assert request.response.status_code == 400
        assert request.sent is None
        assert await live() == []

    site.drive(check())


def test_login_ends_the_others_in_its_own_request(site: Site) -> None:
    async def check() -> None:
        other, browser = await site.user(), await site.visitor(cart=["book"])
        request = browser.request()
        await request.login()
        await arevoke_all(USER, keep=request.request)
        await request.respond()
        await request.answer()
        assert [(await one.finds())["user"] for one in (other, browser)] == [None, VICTIM]
        assert len(await live()) == 1

    site.drive(check())


in_sync = pytest.mark.parametrize("drive", ["sync"], indirect=True)  # transactions of Django's belong to threads


@in_sync
@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("is_saved", [True, False])
def test_first_load_in_a_transaction_that_is_rolled_back_leaves_no_mark(
    site: Site,
    older: Any,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    is_saved: bool,
) -> None:
    async def check() -> None:
        request = older.request()
        with transaction.atomic(alias()):
            assert (await request.user()).pk == VICTIM
            transaction.set_rollback(True, alias())
        if is_saved:
            await request.put(n=1)
        await request.respond(status)
        await request.answer()
        assert len(await live()) == (is_saved and status == 404)
        clock = MultisessionBase.clock
        await older.visit(Exchange.look)
        monkeypatch.setattr(MultisessionBase, "clock", lambda session: clock(session) + 400)
        await older.visit(Exchange.look)
        assert (await older.finds())["user"] == VICTIM
        assert len(await live()) == 1
        assert revoke_all(USER) == 1
        assert (await older.finds())["user"] is None

    site.drive(check())


@in_sync
def test_login_outside_of_requests_may_be_saved_again_in_its_transaction(site: Site) -> None:
    async def check() -> None:
        Users.passwords.clear()
        with transaction.atomic(alias()):
            session: Any = type(site.browser().request().session)()
            session.update({"_auth_user_id": str(VICTIM), "_auth_user_hash": USER.get_session_auth_hash()})
            session["_auth_user_backend"] = f"{Users.__module__}.{Users.__qualname__}"
            session.save()
            session.set_expiry(60 * 86400)
            session.save()
            session.cycle_key()
            session.save()
        row, key = await row_and_key(site.browser(session.session_key))
        assert row.storage_key == key
        assert len(sessions_of(USER)) == 1

    site.drive(check())


def test_purge_ends_no_session_whose_rival_has_died(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests change the key; the process of the second dies when it has taken the row over, before it points."""

    async def check() -> None:
        browser = await site.user()
        first, second = browser.request(), browser.request()
        for request in (first, second):
            await request.look()
            await request.cycle_key()
        records = type(first.session.records())
        point, turns = records.point, iter((1, 2, 3))

        async def pointing(self: Any, *arguments: Any) -> Any:
            turn = next(turns)
            if turn == 1:
                with monkeypatch.context() as patch:
                    patch.setattr(Following, "undo", dies)
                    patch.setattr(records, "delete", dies)
                    with pytest.raises(Crash):
                        await second.respond(races=True)
            if turn == 2:
                raise Crash
            return await point(self, *arguments)

        async def dies(*arguments: Any) -> Any:
            raise Crash

        monkeypatch.setattr(records, "point", pointing)
        await first.respond(races=True)
        await first.answer()
        assert (await browser.finds())["user"] == VICTIM
        for _ in range(2):
            await ask(lambda: PendingDeletion.objects.update(due_at=timezone.now()))
            await ask(lambda: sum(purge(10)))
            assert (await browser.finds())["user"] == VICTIM
        await arevoke_all(USER)
        assert [(await site.browser(key).finds())["user"] for key in (browser.key, second.session.session_key)] == [
            None
        ] * 2

    site.drive(check())


def test_key_is_given_back_to_its_row_where_its_taker_has_left_nothing(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        await browser.visit(lambda request: request.cycle_key())
        row, key = await row_and_key(browser)
        row.storage_key = "f" * 40
        await ask(lambda: rows.rotate(row.previous_key, row))  # by a process that dies then
        await ask(lambda: PendingDeletion.objects.update(due_at=timezone.now()))
        await ask(lambda: sum(purge(10)))
        assert (await row_and_key(browser))[0].storage_key == key
        assert await ask(PendingDeletion.objects.count) == 0

    site.drive(check())


def test_user_who_is_set_in_place_has_the_row_unless_it_was_revoked(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        request = browser.request()
        await request.look()
        await request.put(_auth_user_id=str(ATTACKER))
        await request.respond()
        row, _ = await row_and_key(browser)
        assert row.user_id == ATTACKER
        late = browser.request()
        await late.look()
        await late.put(_auth_user_id=str(VICTIM))
        await ask(lambda: type(row).objects.update(revoked_at=timezone.now()))
        await late.respond(races=True)
        assert late.response.status_code == 400
        assert await live() == []

    site.drive(check())
