"""MAX_SESSIONS_PER_USER: as many as it says, also where logins come at the same time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_multisession.registry import limits
from django_multisession.registry.database import ask
from django_multisession.sessions.base import MultisessionBase
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Exchange, Users
from tests.registry.test_rows import live, rows
from tests.registry.told import Told


@pytest.fixture
def limited(site: Site, settings: Any) -> Site:
    settings.MULTISESSION = {"default": {**settings.MULTISESSION["default"], "MAX_SESSIONS_PER_USER": 3}}
    Users.passwords.clear()
    return site


async def log_in(site: Site) -> Exchange:
    browser = site.browser()
    request = browser.request()
    await request.login()
    await request.respond(races=True)
    await request.answer()
    return request


def test_logins_at_once_leave_as_many_as_allowed(limited: Site) -> None:
    requests = limited.drive.together([partial(log_in, limited)] * 20)
    found = limited.drive(live())
    assert len(found) == 3
    assert len(limited.drive(rows())) == 20
    sent = [request.sent for request in requests if request.sent]
    users = [limited.drive(limited.browser(key).finds())["user"] for key in sent]
    assert sorted(users, key=str).count(VICTIM) == 3
    assert len(sent) == 20


def test_login_that_is_written_after_newer_ones_leaves_as_many_as_allowed(
    limited: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a busy machine has held up between its record and its row."""

    async def check() -> None:
        clock = MultisessionBase.clock
        with monkeypatch.context() as patch:
            patch.setattr(MultisessionBase, "clock", lambda session: clock(session) + 100)
            for _ in range(3):
                await log_in(limited)
        late = await log_in(limited)
        assert len(await live()) == 3
        assert (await limited.browser(late.sent).finds())["user"] == VICTIM

    limited.drive(check())


def test_login_that_was_evicted_by_then_evicts_nobody(limited: Site) -> None:
    async def check() -> None:
        for _ in range(4):
            await log_in(limited)
        (evicted,) = [row for row in await rows() if row.revoked_at is not None]
        assert await ask(partial(limits.evict, evicted, 3)) == []
        assert len(await live()) == 3

    limited.drive(check())


def test_oldest_login_is_evicted(limited: Site, told: Told) -> None:
    async def check() -> None:
        browsers = [await limited.user() for _ in range(3)]
        for hours, row in enumerate(await live()):
            row.authenticated_at += timedelta(hours=hours - 5)
            await ask(row.save)
        await browsers[0].visit(lambda request: request.login())  # anew: the second is the oldest by now
        other = limited.browser()
        await other.visit(lambda request: request.login(ATTACKER))
        oldest = (await rows())[1]
        browsers.append(await limited.user())
        assert [(await browser.finds())["user"] for browser in browsers] == [VICTIM, None, VICTIM, VICTIM]
        assert (await other.finds())["user"] == ATTACKER
        ended = [arguments for name, arguments in told.all if name == "ended"]
        assert [(each["row"].pk, each["reason"]) for each in ended] == [(oldest.pk, "evicted")]

    limited.drive(check())


def test_login_that_is_clicked_twice_evicts_nobody(limited: Site) -> None:
    async def check() -> None:
        browsers = [await limited.user() for _ in range(2)]
        visitor = await limited.visitor(cart=["book"])
        requests = [visitor.request(), visitor.request()]
        for request in requests:
            await request.look()
            await request.login()
        for request in requests:
            await request.respond()
            await request.answer()
        browsers.append(visitor)
        assert [(await browser.finds())["user"] for browser in browsers] == [VICTIM] * 3
        assert len(await live()) == 3

    limited.drive(check())


def test_login_beyond_the_limit_is_refused(limited: Site, settings: Any) -> None:
    settings.MULTISESSION = {"default": {**settings.MULTISESSION["default"], "ON_MAX_SESSIONS": "refuse"}}

    async def check() -> None:
        browsers = [await limited.user() for _ in range(3)]
        visitor = await limited.visitor(cart=["book"])
        request = visitor.request()
        await request.login()
        created = request.session.session_key
        with pytest.raises(Exception, match="as many as MAX_SESSIONS_PER_USER"):
            await request.respond()
        assert await limited.browser(created).finds() == {"user": None}
        assert await visitor.finds() == {"user": None, "cart": ["book"]}
        assert [(await browser.finds())["user"] for browser in browsers] == [VICTIM] * 3
        await browsers[0].visit(lambda request: request.logout())
        await visitor.visit(lambda request: request.login())
        assert (await visitor.finds())["user"] == VICTIM

    limited.drive(check())


def test_users_are_there(registry: None) -> None:
    assert User.objects.count() == 2
    assert asyncio.run(ask(User.objects.count)) == 2
