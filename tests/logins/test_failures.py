"""What fails between a login and its answer leaves the visitor's session as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from django_multisession.conf import DEFAULT
from django_multisession.exceptions import SessionNotSerializable, SessionTooLarge, StoreUnavailable
from django_multisession.sessions.loading import session_class
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Exchange

OPERATIONS = frozenset({"read", "insert", "replace", "delete", "exists"})

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
        created = request.session.session_key
        # Written in place, as by a site that does not change the key.
        await other.put(cart=["book", "pen"], _auth_user_id="2", _auth_user_hash="another")
        await other.respond()
        await request.put(seen=True)
        await request.respond()
        await request.answer()
        assert request.response.status_code == 400
        assert request.sent is None
        looking = browser.request()
        assert await looking.get("cart") == ["book", "pen"]
        assert await looking.get("_auth_user_id") == "2"
        assert await looking.get("seen") is None
        assert await site.browser(created).finds() == {"user": None}

    site.drive(check())


class Dying:
    """A store that does not answer from one call on: it has not heard of it, or its answer is lost."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.answers: int | None = None
        """How many calls are answered yet; None while it lives."""
        self.hears = False
        """Whether the last call of its life is carried out."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._call, found) if name in OPERATIONS else found

    async def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if self.answers == 0:
            if self.hears:
                self.hears = False
                await operation(*args, **kwargs)
            raise StoreUnavailable("the test", "it has died")
        if self.answers is not None:
            self.answers -= 1
        return await operation(*args, **kwargs)


@pytest.mark.parametrize("hears", [False, True])
@pytest.mark.parametrize("is_user", [False, True])
@pytest.mark.parametrize("disturbed", [False, True])
def test_store_that_dies_at_any_step_of_a_login_logs_nobody_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, disturbed: bool, is_user: bool, hears: bool
) -> None:
    records = session_class(DEFAULT).records()
    store = Dying(records.store)
    monkeypatch.setattr(records, "store", store)

    async def check(answers: int) -> tuple[int, int]:
        had = {"cart": ["book"]}
        browser = await (site.user if is_user else site.visitor)(**had)
        before, request = browser.key, browser.request()
        if disturbed:
            await request.look()
            await browser.visit(lambda other: other.put(theirs=True))
        store.answers, store.hears = answers, hears
        try:
            await (request.cycle_key() if is_user else request.login())
            await request.put(seen=True)
            await request.respond(races=True)  # asks nobody else
        except StoreUnavailable:
            await request.respond(503)
        finally:
            left, store.answers = store.answers, None
        await request.answer()
        theirs = {"theirs": True} if disturbed else {}
        status = request.response.status_code
        if status == 200:
            found = await browser.finds()
            if left == 0:  # it died where the pointer was to be put, and nobody knows what was there by then
                found |= theirs
            assert found == {"user": VICTIM, "seen": True, **had, **theirs}
        else:
            assert status == 503
            assert browser.key == before
            assert await browser.finds() == {"user": VICTIM if is_user else None, **had, **theirs}
        return status, left

    answers = 0
    while site.drive(check(answers))[1] == 0:
        answers += 1
    assert answers >= 3


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
