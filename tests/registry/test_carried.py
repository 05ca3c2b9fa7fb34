"""A session that comes from where its FALLBACK says is known to the registry from then on, or is not let in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from freezegun import freeze_time

from django_multisession.envelope import REGISTERED
from django_multisession.registry import arevoke, arevoke_all
from tests.contract.conftest import Backend
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Users
from tests.registry.test_rows import live

MEMORY = "django_multisession.engines.memory"


@pytest.fixture
def moves(site: Site, backend: Backend, settings: Any) -> Any:
    """Return what puts the site before the move, and after it."""
    if backend.name == "memory":
        pytest.skip("It is the old place.")
    entry = settings.MULTISESSION["default"]

    def moves(prefix: str = "", **fallback: Any) -> None:
        if fallback:
            settings.SESSION_ENGINE = backend.engine.__module__
            settings.MULTISESSION = {
                "default": {
                    **entry,
                    "KEY_PREFIX": prefix,
                    "FALLBACK": {"ENGINE": MEMORY, "UNTIL": "2100-01-01", **fallback},
                }
            }
        else:
            settings.SESSION_ENGINE, settings.MULTISESSION = MEMORY, {}

    return moves


async def without_registry(site: Site, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Return a browser that is logged in by a process that knows of no registry."""
    with monkeypatch.context() as patch:
        patch.setattr("django_multisession.sessions.registration.registrations.make", None)
        return await site.user(cart=["book"])


def test_session_that_is_carried_gets_its_row(site: Site, moves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        moves()
        browser = await without_registry(site, monkeypatch)
        assert await live() == []
        moves(CARRY=False)
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}
        assert await live() == []  # where it is, there is no place for a mark
        moves(CARRY=True)
        for _ in range(2):
            exchange = await browser.visit(lambda request: request.look())
            (row,) = await live()
            assert (row.user_id, row.storage_key) == (VICTIM, exchange.session.stored_login().key)
            assert exchange.session.stored_login().header.flags & REGISTERED

    site.drive(check())


def test_session_whose_user_was_revoked_since_is_not_let_in(
    site: Site, moves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        moves()
        browser = await without_registry(site, monkeypatch)
        moves(CARRY=True)
        await arevoke_all(Users().get_user(VICTIM))
        for _ in range(2):
            assert await browser.finds() == {"user": None}
        assert await live() == []

    site.drive(check())


@pytest.mark.parametrize("carry", [True, False])
def test_session_that_is_revoked_where_it_is_does_not_come_here(site: Site, moves: Any, carry: bool) -> None:
    async def check() -> None:
        moves()
        browser = await site.user(cart=["book"])
        assert len(await live()) == 1
        moves(CARRY=carry)
        assert await arevoke_all(Users().get_user(VICTIM)) == 1
        assert await browser.finds() == {"user": None}

    site.drive(check())


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("prefix", ["", "other"])
def test_device_that_is_signed_out_where_it_is_does_not_come_here(
    site: Site, moves: Any, prefix: str, carry: bool
) -> None:
    async def check() -> None:
        moves()
        browser = await site.user(cart=["book"])
        moves(prefix, CARRY=carry)
        (row,) = await live()
        assert await arevoke(row) == 1
        for _ in range(2):
            assert (await browser.finds())["user"] is None
        assert await live() == []

    site.drive(check())


@pytest.mark.parametrize("prefix", ["", "other"])
def test_device_that_logs_out_where_it_is_is_listed_no_more(site: Site, moves: Any, prefix: str) -> None:
    async def check() -> None:
        moves()
        browser = await site.user(cart=["book"])
        moves(prefix, CARRY=False)
        await log_out(browser)
        assert await live() == []

    site.drive(check())


def test_session_that_comes_to_another_prefix_has_one_row(site: Site, moves: Any) -> None:
    async def check() -> None:
        moves()
        browser = await site.user(cart=["book"])
        moves("other", CARRY=True)
        for _ in range(2):
            assert (await browser.finds())["user"] == VICTIM
        (row,) = await live()
        assert await arevoke(row) == 1
        assert (await browser.finds())["user"] is None

    site.drive(check())


COOKIES = "django_multisession.engines.encrypted_cookies"
SIGNED = "django_multisession.engines.signed_cookies"
REVOCABLE = {"REVOCABLE": True, "REVOCABLE_CACHE": None}


@pytest.fixture
def leaves_cookies(site: Site, backend: Backend, settings: Any) -> Any:
    """Return what puts a site with revocable cookies before its move, and after it; from memory, to other cookies."""
    if backend.name == "memcached":
        pytest.skip("It may forget that a session has ended.")
    engine, entry = settings.SESSION_ENGINE, settings.MULTISESSION["default"]

    def leaves(**fallback: Any) -> None:
        to_cookies = backend.name == "memory"
        settings.SESSION_ENGINE = COOKIES
        settings.MULTISESSION = {"default": REVOCABLE}
        if fallback:
            described = {"ENGINE": COOKIES, "UNTIL": "2100-01-01", **fallback}
            settings.SESSION_ENGINE = SIGNED if to_cookies else engine
            settings.MULTISESSION = {"default": {**(REVOCABLE if to_cookies else entry), "FALLBACK": described}}

    return leaves


async def log_out(browser: Browser) -> None:
    await browser.visit(lambda request: request.logout())


async def revoke_the_row(browser: Browser) -> None:
    (row,) = await live()
    assert await arevoke(row) == 1


async def change_the_key(browser: Browser) -> None:
    await browser.visit(lambda request: request.cycle_key())


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("end", [log_out, revoke_the_row, change_the_key])
def test_cookie_that_had_ended_is_not_carried(site: Site, leaves_cookies: Any, end: Any, carry: bool) -> None:
    async def check() -> None:
        leaves_cookies()
        browser = await site.user(cart=["book"])
        thief = Browser(site.middleware)
        thief.jar = dict(browser.jar)
        await end(browser)
        leaves_cookies(CARRY=carry)
        for _ in range(2):
            assert (await thief.finds())["user"] is None
        assert (await browser.finds())["user"] == (VICTIM if end is change_the_key else None)

    site.drive(check())


def test_logout_after_the_move_ends_every_cookie_of_the_session(site: Site, leaves_cookies: Any) -> None:
    async def check() -> None:
        leaves_cookies()
        browser = await site.user(cart=["book"])
        thief = Browser(site.middleware)
        thief.jar = dict(browser.jar)
        await browser.visit(lambda request: request.put(cart=["pen"]))  # another cookie of the same session
        leaves_cookies(CARRY=True)
        for _ in range(2):
            await browser.visit(lambda request: request.put(cart=["book", "pen"]))
            assert await browser.finds() == {"user": VICTIM, "cart": ["book", "pen"]}
        assert len(await live()) == 1
        await log_out(browser)
        with freeze_time(timezone.now() + timedelta(seconds=61), tick=True):
            assert (await thief.finds())["user"] is None

    site.drive(check())


@pytest.fixture
def comes_to_cookies(site: Site, settings: Any) -> Any:
    """Return what has a site on a server move into revocable cookies."""
    engine, entry = settings.SESSION_ENGINE, settings.MULTISESSION["default"]

    def comes(**fallback: Any) -> None:
        described = {"ENGINE": engine, "UNTIL": "2100-01-01", **entry, **fallback}
        settings.SESSION_ENGINE = COOKIES
        settings.MULTISESSION = {"default": {**REVOCABLE, "FALLBACK": described}}

    return comes


@pytest.mark.parametrize("carry", [True, False])
def test_device_that_is_signed_out_on_its_server_does_not_come_into_a_cookie(
    site: Site, comes_to_cookies: Any, carry: bool
) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        comes_to_cookies(CARRY=carry)
        await revoke_the_row(browser)
        for _ in range(2):
            assert (await browser.finds())["user"] is None

    site.drive(check())


def test_session_that_comes_into_a_cookie_has_one_row(site: Site, comes_to_cookies: Any) -> None:
    async def check() -> None:
        browser = await site.user(cart=["book"])
        comes_to_cookies(CARRY=True)
        for _ in range(2):
            await browser.visit(lambda request: request.look())
            assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}
        await revoke_the_row(browser)
        assert (await browser.finds())["user"] is None

    site.drive(check())
