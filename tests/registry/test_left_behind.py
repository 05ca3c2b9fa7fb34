"""Keys and rows that a store or a changed configuration leaves behind: a revocation and a purge get to them all."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from django_multisession.exceptions import StoreUnavailable
from django_multisession.registry import arevoke_all
from django_multisession.registry.database import alias, ask
from django_multisession.registry.models import PendingDeletion, RegisteredSession
from django_multisession.registry.purging import purge
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Users
from tests.registry.rows import row_of
from tests.registry.test_rows import rows

USER = Users().get_user(VICTIM)


async def down(*args: Any, **kwargs: Any) -> Any:
    raise StoreUnavailable("a test", "it is down")


async def leaves_a_key(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> str:
    """Change the key while the store does not answer to the end of the old one; return that."""
    old = browser.key
    assert old is not None
    with monkeypatch.context() as patch:
        patch.setattr(type(browser.request().session.records()), "point", down)
        await browser.visit(lambda request: request.cycle_key())
    return old


def test_key_that_an_outage_has_left_ends_with_its_session(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        browser = await site.user()
        old = await leaves_a_key(browser, monkeypatch)
        await browser.visit(lambda request: request.cycle_key())
        await arevoke_all(USER)
        assert (await browser.finds())["user"] is None
        assert (await site.browser(old).finds())["user"] is None

    site.drive(check())


def test_key_that_an_outage_has_left_goes_with_a_purge(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        browser = await site.user()
        old = await leaves_a_key(browser, monkeypatch)
        await ask(lambda: sum(purge()))
        assert (await site.browser(old).finds())["user"] is None
        assert (await browser.finds())["user"] == VICTIM
        assert await ask(PendingDeletion.objects.count) == 0

    site.drive(check())


def test_session_that_is_configured_no_more_keeps_no_others_rows(site: Site) -> None:
    async def check() -> None:
        users = await ask(lambda: list(User.objects.using(alias()).order_by("pk")))
        day_ago = timezone.now() - timedelta(days=1)
        gone = await ask(lambda: row_of(users[0], session_name="gone"))
        await ask(lambda: row_of(users[1], expires_at=day_ago))
        assert await arevoke_all(USER) == 1
        assert await ask(lambda: sum(purge(10))) == 1
        assert await rows(user=ATTACKER) == []
        assert await ask(PendingDeletion.objects.count) == 1
        await ask(lambda: RegisteredSession.objects.filter(pk=gone.pk).update(expires_at=day_ago))
        assert await ask(lambda: sum(purge(10))) == 1
        assert await ask(lambda: sum(purge(10))) == 0
        assert await ask(PendingDeletion.objects.count) == 0

    site.drive(check())


def test_outage_of_one_store_keeps_no_others_rows(site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        user = await ask(lambda: User.objects.using(alias()).get(pk=VICTIM))
        day_ago = timezone.now() - timedelta(days=1)
        for name in ("default", "staff", "default", "staff"):
            await ask(partial(row_of, user, session_name=name, expires_at=day_ago))
        await ask(
            lambda: PendingDeletion.objects.bulk_create(
                PendingDeletion(storage_key=name[0] * 40, session_name=name, due_at=day_ago)
                for name in ("default", "staff")
            )
        )
        store = site.browser().request().session.records().store
        with monkeypatch.context() as patch:
            patch.setattr(store, "exists", down)
            patch.setattr(store, "delete_many", down)
            with pytest.raises(StoreUnavailable):
                await ask(lambda: sum(purge(1)))
        assert {row.session_name for row in await rows()} == {"default"}
        assert await ask(lambda: [one.session_name for one in PendingDeletion.objects.all()]) == ["default"]
        assert await ask(lambda: sum(purge(1))) == 2
        assert await rows() == []

    settings.MULTISESSION = {
        **settings.MULTISESSION,
        "staff": {"ENGINE": "django_multisession.engines.memory"},
    }
    site.drive(check())
