"""Rows go once their sessions have, and records that revocations have left behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_multisession.exceptions import StoreUnavailable
from django_multisession.registry import arevoke_all
from django_multisession.registry.database import ask
from django_multisession.registry.models import PendingDeletion, RegisteredSession
from django_multisession.registry.purging import purge
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Users
from tests.registry.test_rows import live, rows
from tests.registry.told import Told

USER = Users().get_user(VICTIM)


async def age(**times: Any) -> None:
    """Move times of all rows."""
    await ask(lambda: RegisteredSession.objects.update(**times))


async def purged() -> int:
    return await ask(lambda: sum(purge(2)))


def test_purge_removes_expired_rows_whose_records_are_gone(site: Site, told: Told) -> None:
    async def check() -> None:
        browsers = [await site.user() for _ in range(5)]
        for browser in browsers[:3]:
            request = browser.request()
            await request.look()
            # As if it had ended by itself: nobody tells the registry.
            await request.session.records().delete(request.session.life.loaded.key)
        await age(expires_at=timezone.now() - timedelta(seconds=1))
        assert await purged() == 3
        assert len(await live()) == 2
        assert {row.expires_at > timezone.now() for row in await live()} == {True}
        assert told.reasons() == ["expired"] * 3
        assert [(await browser.finds())["user"] for browser in browsers] == [None] * 3 + [VICTIM] * 2

    site.drive(check())


def test_purge_removes_revoked_rows_after_a_while(site: Site) -> None:
    async def check() -> None:
        for _ in range(3):
            await site.user()
        await arevoke_all(USER)
        assert await purged() == 0
        await age(revoked_at=timezone.now() - timedelta(hours=2))
        assert await purged() == 3
        assert await rows() == []

    site.drive(check())


def test_revocation_that_no_store_has_heard_of_is_made_up_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        browsers = [await site.user() for _ in range(3)]
        records = browsers[0].request().session.records()

        async def down(*args: Any) -> Any:
            raise StoreUnavailable("a test", "it is down")

        with monkeypatch.context() as patch:
            patch.setattr(records.store, "delete_many", down)
            with pytest.raises(StoreUnavailable):
                await arevoke_all(USER)
            assert await live() == []
            with pytest.raises(CommandError, match="a test"):
                await ask(lambda: call_command("purgesessions", verbosity=0))
        assert await ask(PendingDeletion.objects.count) > 0
        assert [(await browser.finds())["user"] for browser in browsers] == [VICTIM] * 3
        await ask(lambda: call_command("purgesessions", verbosity=0))
        assert [(await browser.finds())["user"] for browser in browsers] == [None] * 3
        assert await ask(PendingDeletion.objects.count) == 0

    site.drive(check())


def test_marked_session_whose_record_is_left_gets_no_new_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        browser = await site.user()
        request = browser.request()
        await request.cycle_key()

        async def down(*args: Any) -> Any:
            raise StoreUnavailable("a test", "it is down")

        with monkeypatch.context() as patch:
            patch.setattr(request.session.records().store, "delete_many", down)
            with pytest.raises(StoreUnavailable):
                await arevoke_all(USER)
        created = request.session.session_key
        await request.respond()
        assert request.response.status_code == 400
        assert request.sent is None
        assert await site.browser(created).finds() == {"user": None}

    site.drive(check())
