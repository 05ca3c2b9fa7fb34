"""A user who is logged in and logs in again: another key, and the time of now (ASVS 5, 7.2.4)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from django_multisession.registry import rows as registered
from django_multisession.registry.database import alias, ask
from django_multisession.sessions.base import MultisessionBase
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Users
from tests.registry.test_rows import live
from tests.registry.told import Told


def test_login_again_after_a_save_of_the_view_changes_the_key(site: Site) -> None:
    async def view(request: Exchange) -> None:
        await request.put(seen=True)
        if site.colour == "sync":
            request.session.save()
        else:
            await request.session.asave()
        await request.login()

    async def check() -> None:
        browser = await site.user()
        before = browser.key
        await browser.visit(view)
        assert browser.key != before
        assert await browser.finds() == {"user": VICTIM, "seen": True}

    site.drive(check())


def test_login_again_after_a_change_of_key_has_the_time_of_now(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def view(request: Exchange) -> None:
        await request.look()
        await request.cycle_key()
        await request.login()

    async def check() -> None:
        browser = await site.user()
        (before,) = await live()
        clock = MultisessionBase.clock
        monkeypatch.setattr(MultisessionBase, "clock", lambda session: clock(session) + 100)
        await browser.visit(view)
        (row,) = await live()
        assert row.pk == before.pk
        assert row.authenticated_at >= before.authenticated_at + timedelta(seconds=99)
        assert (await browser.finds())["user"] == VICTIM

    site.drive(check())


async def log_in_over(browser: Browser) -> None:
    """Log in where a login of the same user is that does not count any more."""
    request = browser.request()
    await request.user()
    await request.login()
    await request.respond(races=True)
    await request.answer()
    assert request.response.status_code == 200
    assert (await browser.finds())["user"] == VICTIM


def test_login_with_a_new_password_is_a_session_of_its_own(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.user()
        (row,) = await live()
        Users.passwords[VICTIM] = "second"
        await ask(lambda: _mark(row.pk))  # its record is still there, as after an outage of the store
        told.all.clear()
        await log_in_over(browser)
        assert told.names == ["started"]

    site.drive(check())


def _mark(row_id: int) -> None:
    with transaction.atomic(alias()):
        registered.revoke([row_id])
