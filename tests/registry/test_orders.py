"""A request, and at each of its steps something else that concerns the same session; and a crash at each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_multisession.registry import arevoke, arevoke_all, revoke_all
from django_multisession.registry.database import alias, ask
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Users
from tests.registry.steps import Steps
from tests.registry.test_rows import live

pytestmark = pytest.mark.slow

USER = Users().get_user(VICTIM)
View = Callable[[Exchange], Awaitable[object]]


@dataclass
class Scene:
    """A browser, and every session key that anybody has seen."""

    site: Site
    browser: Browser
    keys: set[str] = field(default_factory=set)

    def note(self, request: Exchange) -> None:
        self.keys |= {key for key in (request.session.session_key, request.sent, self.browser.key) if key}

    async def visit(self, view: View) -> None:
        request = self.browser.request()
        self.note(request)
        try:
            await request.look()
            await view(request)
            self.note(request)
            await request.respond(races=True)
            await request.answer()
        finally:
            self.note(request)

    async def users(self) -> dict[str, Any]:
        """Return the keys that lead to a login."""
        return {key: user for key in self.keys if (user := await self._user(key)) is not None}

    async def _user(self, key: str) -> Any:
        request = self.site.browser(key).request()
        user = await request.user()
        await request.respond(races=True)
        return user.pk

    async def is_consistent(self, at: int) -> None:
        """Assert that each login has a row, and each row a login; but for what is set aside for a new password."""
        keys = {await _storage_key(self.site, key) for key in await self.users()} - {None}
        rows = {row.storage_key for row in await live() if row.expires_at > timezone.now() + timedelta(minutes=2)}
        assert keys - rows == set(), f"step {at}: a login without a row"
        assert rows - keys == set(), f"step {at}: a row without a login"

    async def ends(self, at: int) -> None:
        """Assert that a revocation ends all; a record whose process has died before its row was written gets no key."""
        await arevoke_all(USER)
        assert await live() == []
        for key in await self.users():
            assert key != self.browser.key, f"step {at}: the browser is still logged in"
            request = self.site.browser(key).request()
            await request.cycle_key()
            await request.respond(races=True)
            # It may have ended by itself, where its use was due to be written down just now.
            assert request.response.status_code == 400 or await self._user(key) is None, f"step {at}"
            assert request.sent is None, f"step {at}"


async def _storage_key(site: Site, key: str) -> str | None:
    request = site.browser(key).request()
    await request.look()
    standing = request.session.stored_login()
    if standing is None:
        # Of two cookies with one sid, who finds the one with the old password's hash ends both.
        assert site.engine.endswith("cookies")
        return None
    return str(standing.key)


async def log_in(request: Exchange) -> None:
    await request.login()


async def log_in_and_cycle(request: Exchange) -> None:
    await request.login()
    await request.cycle_key()


async def log_out(request: Exchange) -> None:
    await request.logout()


async def cycle(request: Exchange) -> None:
    await request.cycle_key()


async def change_password(request: Exchange) -> None:
    await request.change_password()


async def change(request: Exchange) -> None:
    await request.put(seen=True)


async def revoke_everything(scene: Scene) -> None:
    await arevoke_all(USER)


async def revoke_rows(scene: Scene) -> None:
    for row in await live():
        await arevoke(row)


async def revoke_in_transaction(scene: Scene) -> None:
    def revoke() -> None:
        with transaction.atomic(alias()):
            revoke_all(USER)

    await ask(revoke)


def visiting(view: View) -> Callable[[Scene], Awaitable[None]]:
    async def visit(scene: Scene) -> None:
        await scene.visit(view)

    visit.__name__ = view.__name__
    return visit


@pytest.fixture(autouse=True)
def _by_day(request: pytest.FixtureRequest, nightly: bool) -> None:
    """But in memory, try some by day."""
    chosen = request.node.callspec.params
    view = chosen.get("view", cycle)
    if not nightly and chosen.get("backend") != "memory" and (view, chosen["drive"]) not in BY_DAY:
        pytest.skip("By night; in memory all orders are tried by day.")


BY_DAY = [(cycle, "sync"), (log_in, "async")]
OF_USERS = [cycle, change_password, log_in, log_in_and_cycle, log_out, change]
REVOCATIONS = [revoke_everything, revoke_rows, revoke_in_transaction]
OTHERS = [visiting(view) for view in (log_in, cycle, change_password, log_out)]


async def _play(steps: Steps, scene: Scene, view: View, at: int, action: Any) -> bool:
    """Visit a view with something in the midst of it; return whether there was a step of this number."""
    with steps.watched(at, action and (lambda: action(scene))):
        await scene.visit(view)
    return steps.taken > at


@pytest.mark.parametrize("revocation", REVOCATIONS)
@pytest.mark.parametrize("view", OF_USERS)
def test_revoked_session_never_comes_back(site: Site, steps: Steps, view: View, revocation: Any) -> None:
    async def check() -> None:
        at = 0
        while True:
            scene = Scene(site, await site.user(cart=["book"]))
            if not await _play(steps, scene, view, at, revocation):
                break
            await scene.is_consistent(at)
            rest = await scene.users()
            # A login that comes after the revocation, in another session than the one that was revoked, stands.
            assert not rest or view in (log_in, log_in_and_cycle), f"step {at}"
            await arevoke_all(USER)
            assert await scene.users() == {}, f"step {at}"
            assert await live() == []
            at += 1
        assert at > 0

    site.drive(check())


@pytest.mark.parametrize("revocation", REVOCATIONS)
@pytest.mark.parametrize("view", [log_in, log_in_and_cycle])
def test_login_that_is_revoked_on_its_way_has_a_row_or_is_none(
    site: Site,
    steps: Steps,
    view: View,
    revocation: Any,
) -> None:
    async def check() -> None:
        at = 0
        while True:
            scene = Scene(site, await site.visitor(cart=["book"]))
            if not await _play(steps, scene, view, at, revocation):
                break
            await scene.is_consistent(at)
            await arevoke_all(USER)
            assert await scene.users() == {}, f"step {at}"
            at += 1
        assert at > 0

    site.drive(check())


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("view", OF_USERS)
@pytest.mark.parametrize("is_user", [True, False])
def test_two_requests_leave_one_row_for_a_login(
    site: Site,
    steps: Steps,
    view: View,
    other: Any,
    is_user: bool,
) -> None:
    if not is_user and change_password.__name__ in (view.__name__, other.__name__):
        pytest.skip("Nobody is logged in whose password it would be.")

    async def check() -> None:
        at = 0
        while True:
            scene = Scene(site, await (site.user if is_user else site.visitor)(cart=["book"]))
            if not await _play(steps, scene, view, at, other):
                break
            await scene.is_consistent(at)
            await arevoke_all(USER)
            assert await scene.users() == {}, f"step {at}"
            at += 1

    site.drive(check())


@pytest.mark.parametrize("view", OF_USERS)
def test_crash_leaves_nothing_that_a_revocation_does_not_end(site: Site, steps: Steps, view: View) -> None:
    async def check() -> None:
        at = 0
        while True:
            scene = Scene(site, await site.user(cart=["book"]))
            before = scene.browser.key
            if not await _play(steps, scene, view, at, None):
                break
            assert scene.browser.key == before
            if view is not log_out:
                # Who had asked for no end is still logged in, and gets a new key.
                assert (await scene.browser.finds())["user"] == VICTIM or view is change_password, f"step {at}"
                await scene.visit(cycle)
                assert (await scene.browser.finds())["user"] == VICTIM or view is change_password, f"step {at}"
            await scene.ends(at)
            at += 1

    site.drive(check())


@pytest.mark.parametrize("view", [log_in, log_in_and_cycle])
def test_crash_in_a_login_leaves_the_visitor_and_nothing_that_a_revocation_does_not_end(
    site: Site,
    steps: Steps,
    view: View,
) -> None:
    async def check() -> None:
        at = 0
        while True:
            scene = Scene(site, await site.visitor(cart=["book"]))
            if not await _play(steps, scene, view, at, None):
                break
            await scene.ends(at)
            at += 1

    site.drive(check())
