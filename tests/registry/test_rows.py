"""A row for each login: made, moved and ended with the record that it is about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_multisession.envelope import REGISTERED
from django_multisession.registry import arevoke, arevoke_all, arevoke_where, asessions_of
from django_multisession.registry.database import ask
from django_multisession.registry.models import PendingDeletion, RegisteredSession
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange, Users


async def rows(**filters: Any) -> list[RegisteredSession]:
    return await ask(lambda: list(RegisteredSession.objects.filter(**filters).order_by("pk")))


async def live() -> list[RegisteredSession]:
    return await rows(revoked_at=None)


def key_of(exchange: Exchange) -> str:
    standing = exchange.session.stored_login()
    assert standing is not None
    return str(standing.key)


async def row_and_key(browser: Browser) -> tuple[RegisteredSession, str]:
    """Return the only live row, and the storage key that the browser's cookie leads to."""
    request = browser.request()
    await request.look()
    (row,) = await live()
    return row, key_of(request)


def test_visitor_has_no_row(site: Site) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        await browser.visit(lambda request: request.cycle_key())
        assert await rows() == []

    site.drive(check())


def test_login_has_a_row_and_the_mark(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        row, key = await row_and_key(browser)
        assert (row.storage_key, row.user_id, row.session_name) == (key, VICTIM, "default")
        assert row.previous_key != key
        assert row.created_at <= row.authenticated_at <= timezone.now() < row.expires_at
        assert (row.ip_address, row.external_id, row.is_live) == ("127.0.0.1", "", True)
        request = browser.request()
        await request.look()
        assert request.session.stored_login().header.flags & REGISTERED
        assert browser.key not in {row.storage_key, row.previous_key}

    site.drive(check())


def test_login_of_a_browser_without_a_session_has_a_row(site: Site) -> None:
    async def check() -> None:
        Users.passwords.clear()
        browser = site.browser()
        await browser.visit(lambda request: request.login())
        row, key = await row_and_key(browser)
        assert (row.storage_key, row.previous_key) == (key, "")

    site.drive(check())


def test_login_followed_by_a_change_of_key_has_one_row(site: Site) -> None:
    async def check() -> None:
        async def view(request: Exchange) -> None:
            await request.login()
            await request.cycle_key()

        browser = await site.visitor(cart=["book"])
        await browser.visit(view)
        row, key = await row_and_key(browser)
        assert row.storage_key == key
        assert len(await rows()) == 1

    site.drive(check())


def test_change_of_key_moves_the_row(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        before, old = await row_and_key(browser)
        await browser.visit(lambda request: request.cycle_key())
        after, new = await row_and_key(browser)
        assert old != new
        assert (after.pk, after.storage_key, after.previous_key) == (before.pk, new, old)
        assert after.authenticated_at == before.authenticated_at

    site.drive(check())


def test_change_of_password_moves_the_row(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        before, _ = await row_and_key(browser)
        await browser.visit(lambda request: request.change_password())
        after, new = await row_and_key(browser)
        assert (after.pk, after.storage_key) == (before.pk, new)

    site.drive(check())


def test_login_of_the_same_user_changes_the_key_and_the_time(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        before, old = await row_and_key(browser)
        hour_ago = before.authenticated_at - timedelta(hours=1)
        await ask(lambda: RegisteredSession.objects.update(authenticated_at=hour_ago))
        await browser.visit(lambda request: request.login())
        after, new = await row_and_key(browser)
        assert old != new
        assert (after.pk, after.storage_key) == (before.pk, new)
        assert after.authenticated_at > hour_ago
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}

    site.drive(check())


def test_login_of_another_user_ends_the_row(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        before, _ = await row_and_key(browser)
        await browser.visit(lambda request: request.login(ATTACKER))
        after, key = await row_and_key(browser)
        assert (after.user_id, after.storage_key) == (ATTACKER, key)
        assert after.pk != before.pk

    site.drive(check())


def test_logout_ends_the_row(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        await browser.visit(lambda request: request.logout())
        assert await live() == []
        assert len(await rows()) == 1

    site.drive(check())


@pytest.mark.parametrize("status", [500, 503])
def test_login_whose_page_fails_has_no_row(site: Site, status: int) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        request = browser.request()
        await request.login()
        await request.respond(status)
        assert await rows() == []

    site.drive(check())


@pytest.mark.parametrize("status", [200, 500])
def test_logout_ends_the_row_whatever_the_page_answers(site: Site, status: int) -> None:
    async def check() -> None:
        browser = await site.user()
        request = browser.request()
        await request.logout()
        await request.respond(status)
        assert await live() == []

    site.drive(check())


def test_sessions_come_with_the_latest_login_first(site: Site) -> None:
    async def check() -> None:
        for _ in range(3):
            await site.user()
        for hours, row in zip((2, 1, 3), await live(), strict=True):
            row.authenticated_at = timezone.now() - timedelta(hours=hours)
            await ask(row.save)
        first, second, third = await live()
        assert [row.pk for row in await asessions_of(Users().get_user(VICTIM))] == [second.pk, first.pk, third.pk]

    site.drive(check())


def test_save_of_a_session_that_is_revoked_meanwhile_is_400_and_a_reader_keeps_the_page(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        saves, reads = browser.request(), browser.request()
        for request in (saves, reads):
            await request.look()
        await saves.put(n=1)
        await arevoke_all(Users().get_user(VICTIM))
        for request, status in ((saves, 400), (reads, 200)):
            await request.respond(races=True)
            assert (request.response.status_code, request.sent) == (status, None)
        assert await browser.finds() == {"user": None}

    site.drive(check())


def test_revoked_session_is_gone_for_the_next_request(site: Site) -> None:
    async def check() -> None:
        browser, other = await site.user(cart=["book"]), await site.user()
        request = other.request()
        found = await asessions_of(Users().get_user(VICTIM), request.request)
        assert [row.current for row in found] == [True, False]
        assert await arevoke(found[1]) == 1
        assert await arevoke(found[1]) == 0
        assert await browser.finds() == {"user": None}
        assert await other.finds() == {"user": VICTIM}
        assert [row.pk for row in await asessions_of(Users().get_user(VICTIM))] == [found[0].pk]
        assert await ask(PendingDeletion.objects.count) == 0

    site.drive(check())


def test_revoke_all_keeps_the_session_of_a_request(site: Site) -> None:
    async def check() -> None:
        browsers = [await site.user() for _ in range(4)]
        await browsers[-1].visit(lambda request: request.cycle_key())
        request = browsers[-1].request()
        assert await arevoke_all(Users().get_user(VICTIM), keep=request.request) == 3
        assert [(await browser.finds())["user"] for browser in browsers] == [None, None, None, VICTIM]
        assert await arevoke_all(Users().get_user(VICTIM)) == 1
        assert (await browsers[-1].finds())["user"] is None

    site.drive(check())


def test_revoke_where_ends_what_it_finds(site: Site) -> None:
    async def check() -> None:
        mine, other = await site.user(), site.browser()
        await other.visit(lambda request: request.login(ATTACKER))
        assert await arevoke_where(user=ATTACKER) == 1
        assert (await mine.finds())["user"] == VICTIM
        assert (await other.finds())["user"] is None

    site.drive(check())
