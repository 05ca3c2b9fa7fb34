"""When a signal of the registry is sent, and when not: what docs/registry.md promises of each."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from django_multisession.bridge import run_sync
from django_multisession.registry import arevoke, arevoke_all, revoke_all
from django_multisession.registry.database import alias, ask
from django_multisession.registry.models import RegisteredSession
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange, Users
from tests.registry.test_older import log_in_outside
from tests.registry.test_rows import live
from tests.registry.told import Told

USER = Users().get_user(VICTIM)


def records_of(session: Any, *keys: str) -> set[str]:
    """Return those of some storage keys that the session's store has; for receivers, which run outside of loops."""
    return set(run_sync(session.records().store.exists(list(keys))))


# session_started


def test_started_is_sent_when_record_and_row_are_there_and_the_response_is_not(site: Site, told: Told) -> None:
    seen: list[Any] = []

    def look(arguments: dict[str, Any]) -> None:
        row = arguments["row"]
        is_written = RegisteredSession.objects.filter(pk=row.pk, revoked_at=None).exists()
        seen.append((is_written, records_of(request.session, row.storage_key), request.response))

    async def check() -> None:
        await request.login()
        assert told.names == []
        await request.respond()
        (row,) = await live()
        ((name, arguments),) = told.all
        assert (name, arguments["row"].pk, arguments["user_id"]) == ("started", row.pk, VICTIM)
        assert (arguments["sender"], arguments["session_name"]) == (RegisteredSession, "default")
        assert arguments["request"] is request.request
        assert seen == [(True, {row.storage_key}, None)]

    told.on["started"] = look
    browser = site.drive(site.visitor(cart=["book"]))
    request = browser.request()
    site.drive(check())


def test_started_is_sent_of_a_login_outside_of_requests(site: Site, told: Told) -> None:
    Users.passwords.clear()
    site.drive(log_in_outside())
    assert [(name, arguments["request"]) for name, arguments in told.all] == [("started", None)]


def test_started_is_not_sent_of_a_login_outside_of_requests_in_a_transaction(site: Site, told: Told) -> None:
    if site.colour != "sync":
        pytest.skip("Transactions of Django's belong to threads.")
    Users.passwords.clear()
    with transaction.atomic(alias()):
        site.drive(log_in_outside())
    assert len(site.drive(live())) == 1
    assert told.all == []


def test_started_is_not_sent_of_a_first_load(site: Site, older: Browser, told: Told) -> None:
    assert site.drive(older.finds())["user"] == VICTIM
    assert len(site.drive(live())) == 1
    assert told.all == []


def test_started_is_sent_once_of_a_login_that_is_clicked_twice(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        requests = [browser.request() for _ in range(2)]
        for request in requests:
            await request.look()
            await request.login()
        for request in requests:
            await request.respond(races=True)
        assert len(await live()) == 1
        assert told.names == ["started"]

    site.drive(check())


@pytest.mark.parametrize("view", [Exchange.login, Exchange.cycle_key])
def test_nothing_is_sent_of_a_request_that_fails(site: Site, told: Told, view: Any) -> None:
    async def check() -> None:
        browser = await (site.visitor if view is Exchange.login else site.user)(cart=["book"])
        told.all.clear()
        request = browser.request()
        await view(request)
        await request.respond(500)
        assert told.all == []

    site.drive(check())


def test_nothing_is_sent_of_a_login_that_is_revoked_on_its_way(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        request = browser.request()
        await request.login()
        await arevoke_all(USER)
        await request.respond(races=True)
        assert told.all == []

    site.drive(check())


# session_rotated


@pytest.mark.parametrize("view", [Exchange.cycle_key, Exchange.login, Exchange.change_password])
def test_rotated_is_sent_when_the_old_key_has_ended(site: Site, told: Told, view: Any) -> None:
    seen: list[Any] = []

    def look(arguments: dict[str, Any]) -> None:
        seen.append(records_of(request.session, arguments["row"].storage_key, before.storage_key))

    async def check() -> None:
        await view(request)
        await request.respond()
        (row,) = await live()
        ((name, arguments),) = told.all
        assert (name, arguments["row"].storage_key, arguments["user_id"]) == ("rotated", row.storage_key, VICTIM)
        assert (arguments["session_name"], arguments["request"]) == ("default", request.request)
        assert seen == [{row.storage_key}]

    told.on["rotated"] = look
    browser = site.drive(site.user())
    (before,) = site.drive(live())
    told.all.clear()
    request = browser.request()
    site.drive(check())


def test_rotated_is_not_sent_of_a_visitor(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        await browser.visit(Exchange.cycle_key)
        assert told.all == []

    site.drive(check())


def test_rotated_is_sent_once_of_two_changes_of_one_key(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.user()
        told.all.clear()
        requests = [browser.request() for _ in range(2)]
        for request in requests:
            await request.look()
            await request.cycle_key()
        for request in requests:
            await request.respond()
        assert {request.response.status_code for request in requests} == {200}
        assert told.names == ["rotated"]

    site.drive(check())


# session_ended


def test_ended_is_sent_after_the_mark_and_not_a_second_time(site: Site, told: Told) -> None:
    seen: list[Any] = []

    def look(arguments: dict[str, Any]) -> None:
        seen.append(RegisteredSession.objects.get(pk=arguments["row"].pk).revoked_at is not None)

    async def check() -> None:
        for _ in range(2):
            await site.user()
        one, other = await live()
        told.all.clear()
        assert (await arevoke(one), await arevoke(one)) == (1, 0)
        assert (await arevoke_all(USER), await arevoke_all(USER)) == (1, 0)
        assert [arguments["row"].pk for _, arguments in told.all] == [one.pk, other.pk]
        assert told.reasons() == ["revoked"] * 2
        assert {(each["session_name"], each["user_id"], each["request"]) for _, each in told.all} == {
            ("default", VICTIM, None)
        }
        assert seen == [True, True]

    told.on["ended"] = look
    site.drive(check())


@pytest.mark.parametrize("view", ["logout", "replaced"])
def test_ended_of_a_request_is_sent_once(site: Site, told: Told, view: str) -> None:
    async def check() -> None:
        browser = await site.user()
        (row,) = await live()
        told.all.clear()
        exchange = await browser.visit(Exchange.logout if view == "logout" else lambda request: request.login(ATTACKER))
        ended = [arguments for name, arguments in told.all if name == "ended"]
        assert [(each["row"].pk, each["user_id"], each["reason"]) for each in ended] == [(row.pk, VICTIM, view)]
        assert ended[0]["request"] is exchange.request
        assert told.names.count("started") == (view == "replaced")
        told.all.clear()
        await site.browser(browser.key).visit(Exchange.logout)
        assert told.names == ([] if view == "logout" else ["ended"])

    site.drive(check())


@pytest.mark.parametrize("is_kept", [True, False])
def test_ended_is_sent_after_the_commit(site: Site, told: Told, is_kept: bool) -> None:
    if site.colour != "sync":
        pytest.skip("Transactions of Django's belong to threads.")
    site.drive(site.user())
    told.all.clear()
    with transaction.atomic(alias()):
        assert revoke_all(USER) == 1
        assert told.all == []
        transaction.set_rollback(not is_kept, alias())
    assert told.reasons() == (["revoked"] if is_kept else [])


def test_ended_is_not_sent_of_rows_that_go_with_their_user(site: Site, told: Told) -> None:
    async def check() -> None:
        await site.user()
        told.all.clear()
        await ask(lambda: User.objects.using(alias()).get(pk=VICTIM).delete())
        assert await live() == []
        assert told.all == []

    site.drive(check())


# session_rejected


def test_rejected_is_sent_of_what_is_no_session_of_ours(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.user()
        for change, reason in ((_flip, "forged"), (_damage, "unreadable")):
            other = await site.visitor(cart=["book"])
            await change(other)
            told.all.clear()
            request = other.request()
            assert await request.get("cart") is None
            assert [(name, each["reason"], each["user_id"]) for name, each in told.all] == [("rejected", reason, None)]
            assert told.all[0][1]["request"] is request.request
        assert (await browser.finds())["user"] == VICTIM

    site.drive(check())


def test_rejected_is_not_sent_of_a_key_that_is_not_found(site: Site, told: Told) -> None:
    async def check() -> None:
        browser = await site.user()
        key = browser.key
        await browser.visit(Exchange.logout)
        told.all.clear()
        for unknown in (key, "0123456789abcdefghijklmnopqrstuv", "no key"):
            assert await site.browser(unknown).finds() == {"user": None}
        assert told.all == []

    site.drive(check())


# Receivers


def test_receiver_that_raises_is_logged_and_changes_nothing(
    site: Site, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(arguments: dict[str, Any]) -> None:
        raise RuntimeError(arguments["session_name"])

    async def check() -> None:
        browser = await site.user()
        await browser.visit(Exchange.cycle_key)
        await browser.visit(Exchange.logout)
        assert (await browser.finds())["user"] is None

    told.on = dict.fromkeys(("started", "rotated", "ended"), fail)
    with caplog.at_level(logging.ERROR):
        site.drive(check())
    assert told.names == ["started", "rotated", "ended"]
    assert len([record for record in caplog.records if "receive" in record.getMessage()]) == 3


async def _flip(browser: Browser) -> None:
    """Change a bit of what is stored."""
    await _put(browser, lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]))


async def _damage(browser: Browser) -> None:
    await _put(browser, lambda payload: b"?" + payload[1:])


async def _put(browser: Browser, change: Any) -> None:
    request = browser.request()
    await request.look()
    key = request.session.stored_login().key
    store = request.session.records().store
    found = await store.read(key)
    assert await store.replace(key, change(found.payload), 1000, found.token, b"new one.")
