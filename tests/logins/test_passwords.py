"""A change of password beside other requests of the same visitor, who stays logged in, and a logout is final."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from django_multisession.bridge import driven
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Step, Users, play


def changing(request: Exchange, password: str = "second") -> list[Step]:
    """Return the pieces of a change of password."""
    saving = partial(request.save_password, password)
    return [request.see_user, saving, request.keep_logged_in, request.respond, request.answer]


def moment(order: Sequence[int], part: int, step: int) -> int:
    """Return when a step of a part is taken."""
    return [when for when, number in enumerate(order) if number == part][step]


@pytest.mark.parametrize("every", [False, True])
def test_page_that_looks_at_the_user_beside_a_change_of_password_logs_nobody_out(
    site: Site, settings: Any, every: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every

    async def check(order: tuple[int, ...]) -> None:
        browser = await site.user(cart=["book"])
        ours, page = browser.request(), browser.request()
        await play(order, changing(ours), [page.look, page.user, page.respond, page.answer])
        assert [ours.response.status_code, page.response.status_code] == [200, 200]
        if browser.key == page.sent and moment(order, 1, 3) > moment(order, 0, 4):
            assert moment(order, 1, 2) < moment(order, 0, 3)
            return  # a write that was right when it was made, answered last
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}

    for order in site.orders(5, 4):
        site.drive(check(order))


def test_change_of_password_takes_along_what_others_saved_before_the_page_looked(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        ours, other = browser.request(), browser.request()
        await ours.see_user()
        await other.put(seen=True)
        await other.respond()
        await ours.save_password()
        page = browser.request()
        assert (await page.user()).pk is None
        await page.respond()
        await page.answer()
        await ours.keep_logged_in()
        await ours.respond()
        await ours.answer()
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"], "seen": True}

    site.drive(check())


async def _outdated(site: Site) -> tuple[Browser, Exchange, str]:
    """Return a browser whose page has met a new password, the request that changes it, and the old key."""
    browser = await site.user(cart=["book"])
    ours, page = browser.request(), browser.request()
    await ours.see_user()
    await ours.save_password()
    assert (await page.user()).pk is None
    await page.respond()
    await page.answer()
    assert browser.key is not None
    return browser, ours, browser.key


def test_session_whose_login_is_outdated_is_nobodys(site: Site) -> None:
    async def check() -> None:
        browser, _, key = await _outdated(site)
        assert await browser.finds() == {"user": None}
        request = browser.request()
        assert not (request.session.exists(key) if driven() else await request.session.aexists(key))
        await request.put(seen=True)
        await request.respond()
        assert request.sent not in (None, key)
        late = site.browser(key).request()
        await late.login()
        await late.respond()
        assert late.sent not in (None, key)

    site.drive(check())


def test_change_of_key_alone_does_not_bring_an_outdated_login_back(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        slow = browser.request()
        await slow.look()
        Users.passwords[VICTIM] = "second"  # by another device
        page = browser.request()
        assert (await page.user()).pk is None
        await slow.cycle_key()
        created = slow.session.session_key
        await slow.respond()
        assert slow.response.status_code == 400
        assert slow.sent is None
        assert await site.browser(created).finds() == {"user": None}

    site.drive(check())


def test_logout_after_a_page_has_met_the_new_password_is_final(site: Site) -> None:
    async def check() -> None:
        browser, ours, _ = await _outdated(site)
        leaving = browser.request()
        await leaving.logout()
        await leaving.respond()
        await leaving.answer()
        await ours.keep_logged_in()
        await ours.respond()
        assert ours.response.status_code == 400
        assert ours.sent is None

    site.drive(check())


def test_two_changes_of_password_at_once_log_nobody_out(site: Site) -> None:
    async def check(order: tuple[int, ...]) -> None:
        browser = await site.user(cart=["book"])
        requests = [browser.request(), browser.request()]
        parts = [changing(request, name) for request, name in zip(requests, ("second", "third"), strict=True)]
        await play(order, *parts)
        last = max((0, 1), key=lambda part: moment(order, part, 1))
        counts = requests[last]
        if moment(order, last, 0) > moment(order, 1 - last, 1):
            return  # it has met the other's password, and is nobody's
        if requests[1 - last].sent and moment(order, 1 - last, 4) > moment(order, last, 4):
            assert moment(order, 1 - last, 3) < moment(order, last, 1)
            return  # a change that was right when it was made, answered last
        assert counts.response.status_code == 200
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}

    for order in site.orders(5, 5):
        site.drive(check(order))


@pytest.mark.parametrize("status", [200, 403, 500])
def test_logout_whose_transaction_is_rolled_back_is_final(site: Site, alias: str, status: int) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        key, request = browser.key, browser.request()
        with transaction.atomic(alias):
            await request.logout()
            transaction.set_rollback(True, alias)
        await request.respond(status)
        await request.answer()
        assert browser.key is None
        assert await site.browser(key).finds() == {"user": None}

    site.drive(check())
