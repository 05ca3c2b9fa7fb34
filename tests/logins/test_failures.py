"""What fails between a login and its answer leaves the visitor what he had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import transaction

from django_multisession.exceptions import SessionNotSerializable, SessionTooLarge
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Exchange

HAD = {"user": None, "cart": ["book"]}


async def too_large(request: Exchange) -> None:
    await request.put(large="x" * 300_000)


async def not_serialisable(request: Exchange) -> None:
    await request.put(wrong=object())


@pytest.mark.parametrize(("spoil", "error"), [(too_large, SessionTooLarge), (not_serialisable, SessionNotSerializable)])
@pytest.mark.parametrize("act", [Exchange.login, Exchange.cycle_key])
def test_login_whose_session_cannot_be_saved_leaves_what_was_there(
    site: Site,
    act: Callable[[Exchange], Awaitable[None]],
    spoil: Callable[[Exchange], Awaitable[None]],
    error: type[Exception],
) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        request = browser.request()
        await act(request)
        created = request.session.session_key
        await spoil(request)
        with pytest.raises(error):
            await request.respond()
        assert await browser.finds() == HAD
        assert await site.browser(created).finds() == {"user": None}

    site.drive(check())


@pytest.mark.parametrize("status", [500, 503])
def test_view_that_fails_after_login_leaves_what_was_there(site: Site, status: int) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        request = browser.request()
        await request.login()
        created = request.session.session_key
        await request.respond(status)
        await request.answer()
        assert request.sent is None
        assert await browser.finds() == HAD
        assert await site.browser(created).finds() == {"user": None}

    site.drive(check())


def test_conflict_in_the_last_save_leaves_what_was_there(site: Site) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        request, other = browser.request(), browser.request()
        await request.login()
        await other.put(cart=["book", "pen"])
        await other.login()
        await other.put(_auth_user_hash="another")
        # Written in place, as by a site that does not change the key.
        other.session._session_key = browser.key
        await request.put(seen=True)
        await other.respond()
        await request.respond()
        assert request.response.status_code == 400
        assert request.sent is None

    site.drive(check())


# Where sessions share Django's transaction.


@pytest.mark.parametrize("status", [200, 400, 403, 500])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_login_whose_transaction_is_rolled_back_leaves_what_was_there(
    site: Site, alias: str, status: int, kept: bool, known: bool
) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        if not known:
            browser.jar.clear()
        request = browser.request()
        with transaction.atomic(alias):
            await request.login()
            transaction.set_rollback(not kept, alias)
        await request.respond(status)
        await request.answer()
        assert request.response.status_code == status  # the view's own answer
        expected = {"cart": ["book"]} if known else {}
        user = VICTIM if kept and status < 500 else None
        assert await browser.finds() == {"user": user, **expected}
        assert (request.sent is None) is (user is None)

    site.drive(check())


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("cleared", [False, True])
def test_change_whose_transaction_is_rolled_back_is_saved_by_the_response(
    site: Site, alias: str, cleared: bool, inner: bool, others: bool
) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        request = browser.request()
        await request.look()
        if inner:
            with transaction.atomic(alias):
                await request.put(kept=True)
                request.session.save()
                with transaction.atomic(alias):
                    await request.put(a=1)
                    request.session.save()
                    transaction.set_rollback(True, alias)
        else:
            if cleared:
                request.session.clear()
            with transaction.atomic(alias):
                await request.put(a=1, kept=True)
                request.session.save()
                transaction.set_rollback(True, alias)
        if others:
            await browser.visit(lambda request: request.put(theirs=True))
        await request.put(b=2)
        await request.respond()
        expected: dict[str, Any] = {"user": None, "a": 1, "b": 2, "kept": True}
        if inner or not cleared:
            expected |= {"cart": ["book"], **({"theirs": True} if others else {})}
        assert await browser.finds() == expected

    site.drive(check())
