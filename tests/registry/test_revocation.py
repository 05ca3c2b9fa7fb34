"""What revocations and descriptions refuse, and when records go."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction

from django_multisession.registry import (
    adescribe,
    arevoke_all,
    arevoke_where,
    revocation,
    revoke_all,
    revoke_where,
)
from django_multisession.registry import rows as registered
from django_multisession.registry.database import alias, ask
from django_multisession.registry.models import PendingDeletion
from django_multisession.testing.drive import either
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange, Users
from tests.registry.test_older import log_in_outside
from tests.registry.test_relogin import log_in_over
from tests.registry.test_rows import live
from tests.registry.told import Told

USER = Users().get_user(VICTIM)


@pytest.mark.parametrize("filters", [{}, {"external_id": ""}, {"external_id__exact": ""}, {"external_id": None}])
def test_revoke_where_refuses_what_would_end_everybodys_sessions(registry: None, filters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"revoke_where\(\)"):
        revoke_where(**filters)


@pytest.mark.parametrize("user", [AnonymousUser(), User(username="new")])
def test_revoke_all_of_nobody_ends_nothing(registry: None, user: Any) -> None:
    assert revoke_all(user) == 0


@pytest.mark.parametrize("external_id", ["x" * 256, "a\0b"])
def test_external_id_that_no_row_can_hold_is_refused(site: Site, external_id: str) -> None:
    async def check() -> None:
        browser = await site.user()
        with pytest.raises(ValueError, match="external_id"):
            await adescribe(browser.request().request, external_id=external_id)

    site.drive(check())


def test_label_is_cut(site: Site) -> None:
    async def view(request: Exchange) -> None:
        await request.login()
        await adescribe(request.request, label="My\0 laptop" + "!" * 200)

    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        await browser.visit(view)
        (row,) = await live()
        assert row.label == "My laptop" + "!" * 91

    site.drive(check())


def test_description_ends_with_its_login(site: Site) -> None:
    async def view(request: Exchange) -> None:
        await request.login()
        await adescribe(request.request, label="of the first", external_id="first")
        await request.logout()
        await request.login(ATTACKER)

    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        await browser.visit(view)
        (row,) = await live()
        assert (row.user_id, row.label, row.external_id) == (ATTACKER, "", "")

    site.drive(check())


class Abandoned(Exception):
    pass


def _revokes_and_abandons() -> None:
    with transaction.atomic(alias()):
        async_to_sync(arevoke_where)(user=VICTIM)
        async_to_sync(arevoke_all)(USER)
        raise Abandoned


def test_rollback_around_an_event_loop_takes_the_revocation_back(site: Site) -> None:
    browsers: list[Browser] = []

    async def begin() -> None:
        browsers.append(await site.user())

    async def check() -> None:
        assert len(await live()) == 1
        assert (await browsers[0].finds())["user"] == VICTIM

    site.drive(begin())
    if site.colour == "async":
        pytest.skip("the caller is a view of WSGI")
    with pytest.raises(Abandoned):
        _revokes_and_abandons()
    site.drive(check())


def test_receiver_of_another_at_the_commit_is_called_whatever_the_store_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    if site.colour == "async":
        pytest.skip("transactions are of threads")
    called = []

    async def broken(*args: Any) -> Any:
        raise RuntimeError("no outage")

    browsers: list[Browser] = []

    async def begin() -> None:
        browsers.append(await site.user())

    site.drive(begin())
    monkeypatch.setattr(browsers[0].request().session.records().store, "delete_many", broken)
    with transaction.atomic(alias()):
        revoke_all(USER)
        transaction.on_commit(lambda: called.append(True), using=alias())
    assert called == [True]
    assert PendingDeletion.objects.count() > 0


def test_end_of_a_row_that_another_request_has_moved_is_told(site: Site) -> None:
    async def check() -> None:
        await site.user()
        (row,) = await live()

        def take() -> list[Any]:
            PendingDeletion.objects.create(
                storage_key="f" * 40, session_name="default", row_id=row.pk, due_at=row.expires_at
            )
            return registered.end(["f" * 40], tells=True)

        assert [one.pk for one in await ask(take)] == [row.pk]
        assert await live() == []

    site.drive(check())


def test_many_sessions_of_one_user_end_in_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        browsers = [await site.user() for _ in range(7)]
        sizes = []
        store = browsers[0].request().session.records().store
        delete_many = store.delete_many

        async def counted(keys: Any) -> Any:
            sizes.append(len(keys))
            return await delete_many(keys)

        with monkeypatch.context() as patch:
            patch.setattr(revocation, "BATCH_SIZE", 3)
            patch.setattr(store, "delete_many", counted)
            assert await arevoke_all(USER) == 7
        assert len(sizes) == 3
        assert max(sizes) <= 3 * 2  # with the key that each had as a visitor's
        assert [(await browser.finds())["user"] for browser in browsers] == [None] * 7

    site.drive(check())


def test_logout_followed_by_a_login_of_the_same_user_is_a_logout(site: Site, told: Told) -> None:
    async def view(request: Exchange) -> None:
        await request.logout()
        await request.login()

    async def check() -> None:
        browser = await site.user()
        await browser.visit(view)
        assert told.reasons() == ["logout"]

    site.drive(check())


def test_logout_of_the_session_object_that_has_logged_in_is_a_logout(site: Site, told: Told) -> None:
    async def check() -> None:
        Users.passwords.clear()
        session = await log_in_outside()
        await either(session.flush, session.aflush)
        assert told.reasons() == ["logout"]

    site.drive(check())


def test_login_in_a_new_password_counts_for_no_limit(site: Site, settings: Any) -> None:
    settings.MULTISESSION = {
        "default": {**settings.MULTISESSION["default"], "MAX_SESSIONS_PER_USER": 1, "ON_MAX_SESSIONS": "refuse"}
    }

    async def check() -> None:
        browser = await site.user()
        Users.passwords[VICTIM] = "second"
        await log_in_over(browser)

    site.drive(check())
