"""Cookies with REVOCABLE: each is looked up, in a cache or the database, and what has ended does not come back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import transaction
from django.utils import timezone

from django_multisession.envelope import REGISTERED
from django_multisession.registry import (
    NotRevocable,
    arevoke,
    arevoke_all,
    arevoke_where,
    cookie_rows,
    pending,
    purging,
    revoke,
    verdicts,
)
from django_multisession.registry.database import ask
from django_multisession.registry.models import PendingDeletion, RegisteredSession
from django_multisession.sessions.registration import registrations
from django_multisession.testing.drive import Drive
from tests.conftest import on_servers
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange
from tests.registry.cookies import BACKENDS, CACHES, ENGINES, live, queries, site_with, user_of, victim
from tests.registry.sites import ALIAS
from tests.registry.told import Told


@pytest.fixture(params=on_servers(CACHES))
def cache(request: pytest.FixtureRequest, settings: Any) -> Iterator[str | None]:
    """Configure a cache; return its key in CACHES."""
    server = CACHES[request.param]
    if server is None:
        yield None
        return
    location = request.getfixturevalue(server).location
    settings.CACHES = {**settings.CACHES, "shared": {"BACKEND": BACKENDS[request.param], "LOCATION": location}}
    caches["shared"].clear()
    yield "shared"
    caches["shared"].close()


@pytest.fixture(params=ENGINES)
def site(request: pytest.FixtureRequest, cache: str | None, registry: None, drive: Drive, settings: Any) -> Site:
    return site_with(settings, request.param, cache, drive)


def test_login_has_a_row_and_the_mark(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        (row,) = await live()
        request = browser.request()
        await request.look()
        standing = request.session.stored_login()
        assert standing.key == row.storage_key
        assert standing.header.flags & REGISTERED
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}

    site.drive(check())


def test_revoked_cookie_is_refused_by_the_next_request(site: Site) -> None:
    async def check() -> None:
        browser, other = await site.user(), await site.user()
        assert await user_of(site, browser.key) == VICTIM
        first, _ = await live()
        assert await arevoke(first) == 1
        assert await arevoke(first) == 0
        assert await user_of(site, browser.key) is None
        assert await user_of(site, other.key) == VICTIM
        assert await ask(PendingDeletion.objects.count) == 0

    site.drive(check())


def test_refused_cookie_is_an_empty_session_and_stays_in_the_browser(site: Site) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        await arevoke_all(victim())
        exchange = await browser.visit(lambda request: request.look())
        assert dict(exchange.session.items()) == {}
        assert not exchange.response.cookies
        await browser.visit(lambda request: request.login())
        assert (await browser.finds())["user"] == VICTIM

    site.drive(check())


def test_copy_of_a_cookie_is_refused_after_the_logout(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        assert await user_of(site, copy) == VICTIM
        await browser.visit(lambda request: request.logout())
        assert browser.key is None
        assert await user_of(site, copy) is None
        assert await live() == []

    site.drive(check())


def test_copy_of_a_cookie_is_refused_after_a_logout_that_looked_at_nothing(site: Site) -> None:
    async def flush(request: Exchange) -> None:
        await (request.session.aflush() if site.colour == "async" else flushed(request))

    async def flushed(request: Exchange) -> None:
        request.session.flush()

    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        await browser.visit(flush)
        assert (browser.key, await user_of(site, copy), await live()) == (None, None, [])

    site.drive(check())


def test_logout_after_a_change_of_key_in_one_request_ends_both(site: Site) -> None:
    async def view(request: Exchange) -> None:
        await request.look()
        await request.cycle_key()
        keys.append(request.session.session_key)
        await request.logout()

    async def check() -> None:
        browser = await site.user()
        keys.append(browser.key)
        await browser.visit(view)
        assert [await user_of(site, key) for key in keys] == [None, None]
        assert await live() == []

    keys: list[Any] = []
    site.drive(check())


def test_cookie_of_before_a_change_of_key_is_refused(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        await browser.visit(lambda request: request.cycle_key())
        assert await user_of(site, copy) is None
        assert await user_of(site, browser.key) == VICTIM
        assert len(await live()) == 1

    site.drive(check())


def test_cookie_of_before_a_login_of_the_same_user_is_refused(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        await browser.visit(lambda request: request.login())
        assert await user_of(site, copy) is None
        assert await user_of(site, browser.key) == VICTIM
        assert len(await live()) == 1

    site.drive(check())


def test_cookie_of_before_another_users_login_is_refused(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        await browser.visit(lambda request: request.login(ATTACKER))
        assert await user_of(site, copy) is None
        assert await user_of(site, browser.key) == ATTACKER
        assert [row.user_id for row in await live()] == [ATTACKER]

    site.drive(check())


def test_slow_response_that_is_made_after_the_logout_is_400_without_a_cookie(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        slow = browser.request()
        await slow.put(cart=["book"])
        await browser.visit(lambda request: request.logout())
        await slow.respond(races=True)
        assert (slow.response.status_code, slow.sent) == (400, None)

    site.drive(check())


def test_slow_response_that_was_made_before_the_logout_brings_back_nobody(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        slow = browser.request()
        await slow.put(cart=["book"])
        await slow.respond()
        await browser.visit(lambda request: request.logout())
        await slow.answer()
        assert browser.key == slow.sent
        assert (await browser.finds()) == {"user": None}

    site.drive(check())


def test_slow_page_that_changes_nothing_keeps_its_answer_and_sends_no_cookie(site: Site, settings: Any) -> None:
    async def check() -> None:
        browser = await site.user()
        slow = browser.request()
        await slow.look()
        await browser.visit(lambda request: request.logout())
        await slow.respond(races=True)
        assert (slow.response.status_code, slow.sent) == (200, None)
        assert not slow.response.cookies

    settings.SESSION_SAVE_EVERY_REQUEST = True
    site.drive(check())


def test_two_changes_of_key_at_once_both_go_on_and_end_as_one(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        first, second = browser.request(), browser.request()
        for request in (first, second):
            await request.look()
            await request.cycle_key()
        await first.respond()
        await second.respond()
        assert first.sent != second.sent
        assert [await user_of(site, request.sent) for request in (first, second)] == [VICTIM, VICTIM]
        assert await user_of(site, browser.key) is None
        (row,) = await live()
        await arevoke(row)
        assert [await user_of(site, request.sent) for request in (first, second)] == [None, None]

    site.drive(check())


async def _logs_in_beside(browser: Browser, sent: list[str]) -> None:
    request = browser.request()
    await request.login()
    await request.respond()
    sent.append(request.sent or "")


def test_login_that_is_clicked_twice_is_one_session(site: Site, told: Told) -> None:
    browser = site.drive(site.visitor(cart=["book"]))
    sent: list[str] = []
    site.drive.together([partial(_logs_in_beside, browser, sent)] * 4)
    assert len(set(sent)) == 4
    assert [site.drive(user_of(site, key)) for key in sent] == [VICTIM] * 4
    assert len(site.drive(live())) == 1
    assert told.names == ["started"]
    site.drive(site.browser(sent[0]).visit(lambda request: request.logout()))
    assert [site.drive(user_of(site, key)) for key in sent] == [None] * 4
    assert site.drive(live()) == []


def test_logins_of_two_users_from_one_cookie_are_two_sessions(site: Site) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        for user in (VICTIM, ATTACKER):
            request = site.browser(browser.key).request()
            await request.login(user)
            await request.respond()
        assert [row.user_id for row in await live()] == [VICTIM, ATTACKER]

    site.drive(check())


def test_login_from_a_copy_of_a_visitors_cookie_is_a_session_of_its_own_after_a_minute(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        copy = site.browser(browser.key)
        await browser.visit(lambda request: request.login())
        monkeypatch.setattr(cookie_rows, "POINTER_TTL", -1)
        await copy.visit(lambda request: request.login())
        assert len(await live()) == 2

    site.drive(check())


def test_page_beside_a_change_of_key_does_not_take_its_cookies_place(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        first, second = browser.request(), browser.request()
        await first.look()
        await first.cycle_key()
        await first.respond()
        await second.put(message="hello")
        await second.respond(races=True)
        assert (second.response.status_code, second.sent) == (400, None)
        await first.answer()
        await second.answer()
        assert await browser.finds() == {"user": VICTIM}

    site.drive(check())


def test_login_with_the_cookie_of_before_a_change_of_key_stands(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        other = site.browser(browser.key)
        await browser.visit(lambda request: request.cycle_key())
        await other.visit(lambda request: request.login())
        assert (await other.finds())["user"] == VICTIM

    site.drive(check())


def test_logout_with_the_cookie_of_before_a_change_of_key_ends_the_session(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        other = site.browser(browser.key)
        await browser.visit(lambda request: request.cycle_key())
        assert (await browser.finds())["user"] == VICTIM
        await other.visit(lambda request: request.logout())
        assert await live() == []
        assert (await browser.finds())["user"] is None

    site.drive(check())


def test_visitor_may_begin_anew_a_minute_after_the_change_of_key(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        browser = await site.user()
        other = site.browser(browser.key)
        await browser.visit(lambda request: request.cycle_key())
        for module in (cookie_rows, verdicts):
            monkeypatch.setattr(module, "POINTER_TTL", -1)
        await other.visit(lambda request: request.put(cart=["book"]))
        assert await other.finds() == {"user": None, "cart": ["book"]}

    site.drive(check())


def test_use_is_written_once_in_an_interval(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        long_ago = timezone.now() - timedelta(days=2)
        await ask(lambda: RegisteredSession.objects.update(last_seen=long_ago, ip_address=None))
        async with queries() as captured:
            await browser.visit(lambda request: request.look())
        assert len(captured) == 2
        (row,) = await live()
        assert (row.last_seen > long_ago, row.ip_address) == (True, "127.0.0.1")
        async with queries() as captured:
            await browser.visit(lambda request: request.look())
        assert len(captured) <= 1

    site.drive(check())


def test_change_of_key_that_races_a_logout_is_400(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        slow = browser.request()
        await slow.look()
        await slow.cycle_key()
        await browser.visit(lambda request: request.logout())
        await slow.respond(races=True)
        assert (slow.response.status_code, slow.sent) == (400, None)
        assert await live() == []

    site.drive(check())


def test_reader_that_is_late_does_not_undo_a_revocation(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = verdicts.Verdicts.accept

    def late(self: verdicts.Verdicts, sid: str, user: str) -> None:
        if not done:  # the database has said that the cookie is in order
            done.append(revoke(RegisteredSession.objects.get(storage_key=sid)))
        accept(self, sid, user)

    async def check() -> None:
        browser = await site.user()
        monkeypatch.setattr(verdicts.Verdicts, "accept", late)
        assert await user_of(site, browser.key) == VICTIM
        assert done == [1]
        assert await user_of(site, browser.key) is None

    done: list[int] = []
    site.drive(check())


def test_revocation_replaces_what_a_reader_has_added(site: Site) -> None:
    async def check() -> None:
        browser = await site.user()
        assert await user_of(site, browser.key) == VICTIM
        assert await arevoke_where(user=VICTIM) == 1
        assert await user_of(site, browser.key) is None

    site.drive(check())


def test_revocation_that_the_cache_has_lost_stands(site: Site, cache: str | None) -> None:
    async def check() -> None:
        browser = await site.user()
        assert await user_of(site, browser.key) == VICTIM
        await arevoke_all(victim())
        if cache:
            await ask(caches[cache].clear)
        assert await user_of(site, browser.key) is None

    site.drive(check())


def test_cookie_of_another_user_is_not_accepted_for_a_row(site: Site) -> None:
    async def view(request: Exchange) -> None:
        await request.put(_auth_user_id=str(ATTACKER))  # without a change of key

    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        await browser.visit(view)
        assert await user_of(site, browser.key) == ATTACKER
        assert await user_of(site, copy) is None

    site.drive(check())


def test_revoke_all_keeps_the_session_of_a_request(site: Site) -> None:
    async def check() -> None:
        browsers = [await site.user() for _ in range(3)]
        request = browsers[0].request()
        assert await arevoke_all(victim(), keep=request.request) == 2
        assert [await user_of(site, browser.key) for browser in browsers] == [VICTIM, None, None]

    site.drive(check())


def test_revocation_counts_from_its_commit(site: Site) -> None:
    def within_a_transaction() -> None:
        with transaction.atomic(ALIAS):
            assert revoke(RegisteredSession.objects.get()) == 1
            transaction.set_rollback(True, ALIAS)

    async def check() -> None:
        browser = await site.user()
        await ask(within_a_transaction)
        assert await user_of(site, browser.key) == VICTIM

    site.drive(check())


def test_queries_are_one_in_five_seconds_and_none_for_visitors(site: Site, cache: str | None) -> None:
    async def asked(browser: Browser, view: Any) -> int:
        async with queries() as captured:
            await browser.visit(view)
        return len(captured)

    async def look(request: Exchange) -> None:
        await request.look()

    async def change(request: Exchange) -> None:
        await request.put(cart=["book"])

    async def nothing(request: Exchange) -> None:
        pass

    async def check() -> None:
        visitor = await site.visitor(cart=[])
        browser = await site.user()
        assert [await asked(visitor, view) for view in (look, change, nothing)] == [0, 0, 0]
        assert await asked(browser, nothing) == 0
        assert await asked(browser, look) == 1
        assert await asked(browser, look) == (0 if cache else 1)
        assert await asked(browser, change) == (0 if cache else 2)
        await arevoke_all(victim())
        assert await asked(browser, look) == (0 if cache else 2)

    site.drive(check())


# Cookies from before the registry.


@pytest.fixture
def old(site: Site, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Return a browser that was logged in before there was a registry."""
    with monkeypatch.context() as patch:
        patch.setattr(registrations, "make", None)
        return site.drive(site.user(cart=["book"]))


def test_cookie_from_before_gets_its_row_and_the_mark(site: Site, old: Browser) -> None:
    async def check() -> None:
        assert await live() == []
        await old.visit(lambda request: request.look())
        (row,) = await live()
        request = old.request()
        await request.look()
        assert request.session.stored_login().key == row.storage_key
        assert request.session.stored_login().header.flags & REGISTERED
        assert await old.finds() == {"user": VICTIM, "cart": ["book"]}

    site.drive(check())


def test_cookie_from_before_is_refused_after_revoke_all(site: Site, old: Browser) -> None:
    async def check() -> None:
        await arevoke_all(victim())
        assert await user_of(site, old.key) is None
        assert await live() == []

    site.drive(check())


@pytest.mark.parametrize("end", ["logout", "cycle_key"])
def test_copy_from_before_is_refused_after_the_end_of_its_session(site: Site, old: Browser, end: str) -> None:
    async def check() -> None:
        copy = old.key
        await old.visit(lambda request: getattr(request, end)())
        await old.visit(lambda request: request.cycle_key())
        await old.visit(lambda request: request.cycle_key())
        assert await user_of(site, copy) is None

    site.drive(check())


@pytest.mark.parametrize("end", ["logout", "change of key"])
def test_copy_from_before_is_refused_also_when_its_row_is_gone(site: Site, old: Browser, end: str) -> None:
    async def check() -> None:
        copy = old.key
        await old.visit(lambda request: request.look())
        (row,) = await live()
        await old.visit(Exchange.logout if end == "logout" else Exchange.cycle_key)
        # The session has been given a shorter life than the copy has, and that is over.
        over = timezone.now() - timedelta(hours=2)
        await ask(lambda: RegisteredSession.objects.update(expires_at=over))
        await ask(lambda: PendingDeletion.objects.filter(storage_key=row.storage_key).delete())
        await ask(lambda: list(purging.purge()))
        assert not await ask(RegisteredSession.objects.exists)
        assert await user_of(site, copy) is None
        assert await live() == []

    site.drive(check())


def test_cookie_from_before_of_a_user_who_is_gone_is_refused(site: Site, old: Browser) -> None:
    async def check() -> None:
        # As the database itself would, without Django's signals.
        await ask(lambda: User.objects.filter(pk=VICTIM)._raw_delete(ALIAS))
        assert await user_of(site, old.key) is None

    site.drive(check())


def test_cookie_from_before_has_its_row_also_if_the_view_is_rolled_back(site: Site, old: Browser) -> None:
    async def check() -> None:
        request = old.request()
        view = transaction.atomic(ALIAS)
        await ask(view.__enter__)
        await request.look()
        await ask(partial(transaction.set_rollback, True, ALIAS))
        await ask(partial(view.__exit__, None, None, None))
        assert await live() == []
        await request.respond()
        await request.answer()
        assert len(await live()) == 1
        assert (await old.finds())["user"] == VICTIM

    site.drive(check())


# Without REVOCABLE.


@pytest.fixture
def careless(site: Site, settings: Any) -> Site:
    settings.MULTISESSION = {"default": {}}
    return site


def test_cookie_without_revocable_is_not_revocable(careless: Site) -> None:
    async def check() -> None:
        browser = await careless.user()
        (row,) = await live()
        for attempt in (arevoke(row), arevoke_all(victim()), arevoke_where(user=VICTIM)):
            with pytest.raises(NotRevocable, match=r"MULTISESSION\['default'\]\['REVOCABLE'\]"):
                await attempt
        assert len(await live()) == 1
        assert await user_of(careless, browser.key) == VICTIM
        async with queries() as captured:
            await browser.visit(lambda request: request.look())
        assert len(captured) == 0

    careless.drive(check())


def test_user_with_such_a_cookie_can_be_deactivated(careless: Site) -> None:
    def deactivate() -> None:
        user = User.objects.get(pk=VICTIM)
        user.is_active = False
        user.save()

    async def check() -> None:
        await careless.user()
        await ask(deactivate)

    careless.drive(check())


# Outages.


def test_pending_deletions_are_told_to_the_cache(site: Site, cache: str | None) -> None:
    async def check() -> None:
        browser = await site.user()
        assert await user_of(site, browser.key) == VICTIM
        (row,) = await live()
        await ask(lambda: pending.add([pending.Key("default", row.storage_key)]))
        assert await ask(lambda: sum(purging.purge())) == 0
        assert await user_of(site, browser.key) == (None if cache else VICTIM)

    site.drive(check())
