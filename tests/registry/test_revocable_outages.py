"""Cookies with REVOCABLE while cache or database do not answer: nobody is let in, or logged out, for that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.cache import caches
from django.db import connections
from django.http import HttpResponse

from django_multisession.breaker import REPORT_INTERVAL
from django_multisession.bridge import driven, maybe_await
from django_multisession.exceptions import StoreUnavailable
from django_multisession.registry import arevoke, arevoke_all, purging
from django_multisession.registry.database import ask
from django_multisession.registry.models import PendingDeletion, RegisteredSession
from django_multisession.registry.verdicts import _failed_at
from django_multisession.testing.drive import Drive
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.proxy import Proxy
from tests.conftest import on_servers
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Exchange
from tests.registry.cookies import BACKENDS, live, queries, site_with, user_of, victim
from tests.registry.sites import ALIAS

DATABASE = "revocable"
SHARED = {name: f"{name}_server" for name in BACKENDS}


@pytest.fixture
def database_proxy(postgresql_server: PostgreSQLServer) -> Iterator[Proxy[Any]]:
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with Proxy(postgresql_server) as proxy:
        yield proxy
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def registry_settings(database_proxy: Proxy[Any]) -> Any:
    return {**database_proxy.location, "NAME": DATABASE}


@pytest.fixture(params=on_servers(SHARED))
def cache_proxy(request: pytest.FixtureRequest, settings: Any) -> Iterator[Proxy[Any]]:
    with Proxy[Any](request.getfixturevalue(SHARED[request.param])) as proxy:
        entry = {"BACKEND": BACKENDS[request.param], "LOCATION": proxy.location}
        settings.CACHES = {**settings.CACHES, "shared": entry}
        yield proxy
        close_cache()


@pytest.fixture
def site(
    cache_proxy: Proxy[Any], registry: None, database_proxy: Proxy[Any], drive: Drive, settings: Any
) -> Iterator[Site]:
    yield site_with(settings, "signed_cookies", "shared", drive)
    drive(restored(database_proxy))
    close_database()  # of this thread, which has made the tables
    drive(ask(close_cache))


def close_cache() -> None:
    caches["shared"].close()


def close_database() -> None:
    connections[ALIAS].close()


async def restored(database: Proxy[Any]) -> None:
    """Have the database answer again, to a new connection, as Django makes one for the next request."""
    database.restore()
    await ask(close_database)


async def cache_restored(cache: Proxy[Any]) -> None:
    """Have the cache answer again, to clients that know of no failure."""
    cache.restore()
    _failed_at.renew()
    await ask(close_cache)
    await ask(wait_for_cache)


def wait_for_cache() -> None:
    """Wait until the cache takes values: pymemcache asks no server for a second after it has failed."""
    ends = time.monotonic() + 10
    while caches["shared"].set_many({"anything": 1}):
        assert time.monotonic() < ends
        time.sleep(0.05)


async def outage_of(site: Site, key: str | None) -> HttpResponse:
    """Return the response to a page that looks at the session with this cookie."""
    request = site.browser(key).request()
    with pytest.raises(StoreUnavailable) as caught:
        await request.look()
    outage = site.middleware.process_exception(request.request, caught.value)
    assert outage is not None
    process = site.middleware.process_response if driven() else site.middleware.aprocess_response
    answer: Any = process(request.request, outage)
    response: HttpResponse = await maybe_await(answer)
    return response


def test_database_decides_while_the_cache_is_away(site: Site, cache_proxy: Proxy[Any]) -> None:
    async def check() -> None:
        first, second = await site.user(), await site.user()
        cache_proxy.refuse()
        assert await user_of(site, first.key) == VICTIM
        async with queries() as captured:
            assert await user_of(site, first.key) == VICTIM
        assert len(captured) == 1
        await first.visit(lambda request: request.logout())
        await second.visit(lambda request: request.cycle_key())
        assert await user_of(site, second.key) == VICTIM
        assert [row.storage_key for row in await live()] != []
        assert len(await live()) == 1

    site.drive(check())


def test_revocation_says_that_the_cache_was_not_told_and_is_told_later(site: Site, cache_proxy: Proxy[Any]) -> None:
    async def check() -> None:
        browser = await site.user()
        assert await user_of(site, browser.key) == VICTIM
        cache_proxy.refuse()
        with pytest.raises(StoreUnavailable, match=r"CACHES\['shared'\]"):
            await arevoke_all(victim())
        assert await live() == []
        assert await user_of(site, browser.key) is None
        assert await ask(PendingDeletion.objects.count) > 0
        await cache_restored(cache_proxy)
        await ask(lambda: list(purging.purge()))
        assert await ask(PendingDeletion.objects.count) == 0
        async with queries() as captured:
            assert await user_of(site, browser.key) is None
        assert len(captured) == 0

    site.drive(check())


def test_cache_that_is_away_is_not_asked_by_every_request(site: Site, cache_proxy: Proxy[Any]) -> None:
    async def check() -> None:
        browser = await site.user()
        cache_proxy.refuse()
        await user_of(site, browser.key)
        cache_proxy.restore()
        cache_proxy.reset()
        assert await user_of(site, browser.key) == VICTIM
        assert cache_proxy.connections == 0

    site.drive(check())


def test_503_and_the_cookie_stays_while_neither_answers(
    site: Site, cache_proxy: Proxy[Any], database_proxy: Proxy[Any]
) -> None:
    async def check() -> None:
        browser, revoked = await site.user(), await site.user()
        await arevoke((await live())[1])
        cache_proxy.refuse()
        database_proxy.refuse()
        for key in (browser.key, revoked.key):
            response = await outage_of(site, key)
            assert (response.status_code, dict(response.cookies)) == (503, {})
        await restored(database_proxy)
        assert await user_of(site, browser.key) == VICTIM
        assert await user_of(site, revoked.key) is None

    site.drive(check())


def test_what_the_cache_knows_counts_while_the_database_is_away(
    site: Site, cache_proxy: Proxy[Any], database_proxy: Proxy[Any]
) -> None:
    async def check() -> None:
        known, revoked, other = await site.user(), await site.user(), await site.user()
        assert await user_of(site, known.key) == VICTIM
        await arevoke((await live())[1])
        database_proxy.refuse()
        assert await user_of(site, known.key) == VICTIM
        assert await user_of(site, revoked.key) is None
        assert (await outage_of(site, other.key)).status_code == 503

    site.drive(check())


def test_logout_while_the_database_is_away_ends_the_cookie(
    site: Site, cache_proxy: Proxy[Any], database_proxy: Proxy[Any]
) -> None:
    async def log_out(request: Exchange) -> None:
        await request.logout()

    async def check() -> None:
        browser = await site.user()
        copy = browser.key
        assert await user_of(site, copy) == VICTIM
        database_proxy.refuse()
        await browser.visit(log_out)
        assert browser.key is None
        await restored(database_proxy)
        assert len(await live()) == 1  # which nobody could mark
        assert await user_of(site, copy) is None

    site.drive(check())


def test_logouts_while_the_database_is_away_are_one_line_a_second(
    site: Site, database_proxy: Proxy[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def log_out(request: Exchange) -> None:
        await request.logout()

    async def check() -> float:
        browsers = [await site.user() for _ in range(5)]
        for browser in browsers:
            assert await user_of(site, browser.key) == VICTIM
        database_proxy.refuse()
        began = time.monotonic()
        for browser in browsers:
            await browser.visit(log_out)
        return time.monotonic() - began

    seconds = site.drive(check())
    lines = [record for record in caplog.records if "The registry could not be written" in record.getMessage()]
    assert 1 <= len(lines) <= 1 + int(seconds / REPORT_INTERVAL)


def test_logout_while_neither_answers_takes_the_browsers_cookie(
    site: Site, cache_proxy: Proxy[Any], database_proxy: Proxy[Any]
) -> None:
    async def check() -> None:
        browser = await site.user()
        cache_proxy.refuse()
        database_proxy.refuse()
        request = browser.request()
        with pytest.raises(StoreUnavailable):
            await maybe_await(request.session.flush() if driven() else request.session.aflush())
        await request.respond()
        await request.answer()
        assert browser.key is None

    site.drive(check())


def test_page_of_a_visitor_needs_neither(site: Site, cache_proxy: Proxy[Any], database_proxy: Proxy[Any]) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=[])
        cache_proxy.refuse()
        database_proxy.refuse()
        await browser.visit(lambda request: request.put(cart=["book"]))
        assert await browser.finds() == {"user": None, "cart": ["book"]}

    site.drive(check())


def test_login_while_the_database_is_away_sends_no_cookie(site: Site, database_proxy: Proxy[Any]) -> None:
    async def check() -> None:
        browser = await site.visitor(cart=["book"])
        before = browser.key
        database_proxy.refuse()
        request = browser.request()
        await request.login()
        await request.respond()
        await request.answer()
        assert (request.response.status_code, browser.key) == (503, before)
        await restored(database_proxy)
        assert await browser.finds() == {"user": None, "cart": ["book"]}
        assert await ask(RegisteredSession.objects.count) == 0

    site.drive(check())
