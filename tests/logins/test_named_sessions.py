"""A named session that a visitor brings to a login: whoever has planted its key, or copied it, is left behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from django_multisession.testing.drive import either
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange, Step, Users, play

View = Callable[[Exchange], Awaitable[object]]

BASKET = "basket"
COOKIE = f"sessionid_{BASKET}"


@pytest.fixture(autouse=True)
def basket(site: Site, settings: Any) -> None:
    """Configure a named session beside the default one, on the same server."""
    entry = settings.MULTISESSION["default"]
    settings.MULTISESSION = {"default": entry, BASKET: {"ENGINE": settings.SESSION_ENGINE, **entry}}


def session_of(exchange: Exchange) -> Any:
    return exchange.request.sessions[BASKET]


async def content(exchange: Exchange) -> dict[str, Any]:
    session = session_of(exchange)
    return dict(await either(session.items, session.aitems))


def putting(**data: Any) -> View:
    async def put(exchange: Exchange) -> None:
        session = session_of(exchange)
        await either(session.update, session.aupdate, data)

    return put


def sent(exchange: Exchange) -> str | None:
    """Return the key of the named session that the response sets."""
    morsel = exchange.response.cookies.get(COOKIE)
    return morsel.value if morsel is not None and morsel.value else None


async def visitor_with_a_basket(site: Site) -> Browser:
    browser = await site.visitor(cart=[])
    await browser.visit(putting(bait=1))
    return browser


async def finds(site: Site, key: str) -> dict[str, Any]:
    """Return what somebody who is not logged in finds under a key."""
    browser = Browser(site.middleware)
    browser.jar[COOKIE] = key
    return await content(browser.request())


@pytest.mark.parametrize("brings", [True, False], ids=["login", "later"])
def test_basket_that_becomes_a_users_leaves_its_key(site: Site, brings: bool) -> None:
    async def check() -> None:
        attacker = await visitor_with_a_basket(site)
        planted, victim = attacker.jar[COOKIE], Browser(site.middleware)
        if brings:
            victim.jar[COOKIE] = planted
        await victim.visit(lambda request: request.login())  # at an URL that its PATH does not cover, perhaps
        victim.jar.setdefault(COOKIE, planted)
        await victim.visit(putting(address="Elm Street"))
        assert await content(victim.request()) == {"bait": 1, "address": "Elm Street"}
        assert victim.jar[COOKIE] != planted
        assert await finds(site, planted) == {}
        key = victim.jar[COOKIE]
        await victim.visit(putting(phone=1))
        assert victim.jar[COOKIE] == key  # it is the user's own by now

    site.drive(check())


async def look(exchange: Exchange) -> None:
    await content(exchange)


async def log_in_as_the_attacker(exchange: Exchange) -> None:
    await exchange.login(ATTACKER)
    await putting(planted=True)(exchange)


async def cycle_key(exchange: Exchange) -> None:
    session = session_of(exchange)
    await either(session.cycle_key, session.acycle_key)


async def claim_to_be_logged_in(exchange: Exchange) -> None:
    """Get the session layer to believe as much as a view can be made to write of an anonymous visitor."""
    await exchange.put(_auth_user_id=str(VICTIM), _auth_user_hash="made up")
    await putting(planted=True)(exchange)


ATTEMPTS = [look, putting(planted=True), cycle_key, log_in_as_the_attacker, claim_to_be_logged_in]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=["look", "write", "cycle", "login", "claim"])
@pytest.mark.parametrize("every", [False, True])
def test_attacker_who_planted_a_basket_never_gets_the_victims(
    site: Site, settings: Any, attempt: View, every: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every

    async def check(order: tuple[int, ...]) -> None:
        attacker, victim = await visitor_with_a_basket(site), Browser(site.middleware)
        victim.jar[COOKIE] = attacker.jar[COOKIE]
        login, later = victim.request(), list[Exchange]()
        slow = [attacker.request() for _ in range(2)]

        async def buy() -> None:
            later.append(victim.request())
            await putting(address="Elm Street")(later[0])

        async def respond() -> None:
            await later[0].respond()
            await later[0].answer()

        victims: list[Step] = [lambda: look(login), login.login, login.respond, login.answer, buy, respond]
        await play(order, victims, *([_of(look, each), _of(attempt, each), each.respond] for each in slow))
        victims_keys = {sent(login), sent(later[0])} - {None}
        keys = {attacker.jar[COOKIE], *(sent(each) for each in slow)} - {None}
        assert victims_keys.isdisjoint(keys)
        for key in keys:
            assert "address" not in await finds(site, str(key))
        # Where the attacker was faster there is no basket to be had, and the page says so.
        kept = (await content(victim.request())).get("address") == "Elm Street"
        assert kept or later[0].response.status_code == 400

    for order in site.orders(6, 3, 3, most=max(site.most // 5, 2)):
        site.drive(check(order))


def test_login_whose_password_has_changed_is_not_led_along(site: Site) -> None:
    async def check() -> None:
        thief = await site.user(cart=[])
        await thief.visit(putting(bait=1))
        thief.jar[COOKIE] = (await visitor_with_a_basket(site)).jar[COOKIE]
        victim = Browser(site.middleware)
        victim.jar[COOKIE] = thief.jar[COOKIE]
        slow, Users.passwords[VICTIM] = thief.request(), "second"
        await look(slow)
        await victim.visit(lambda request: request.login())
        await victim.visit(putting(address="Elm Street"))
        assert await content(thief.request()) == {}
        await putting(planted=True)(slow)
        await slow.respond()
        assert sent(slow) in (None, thief.jar[COOKIE])
        assert await content(victim.request()) == {"bait": 1, "address": "Elm Street"}

    site.drive(check())


@pytest.mark.parametrize("every", [False, True])
def test_pages_of_a_user_who_brings_a_basket_go_on_together(site: Site, settings: Any, every: bool) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every

    async def check(order: tuple[int, ...]) -> None:
        visitor = await visitor_with_a_basket(site)
        user = Browser(site.middleware)
        await user.visit(lambda request: request.login())
        user.jar[COOKIE] = visitor.jar[COOKIE]
        pages = [user.request() for _ in range(2)]
        parts = [
            [_of(look, page), _of(putting(**{f"of {number}": 1}), page), page.respond, page.answer]
            for number, page in enumerate(pages)
        ]
        await play(order, *parts)
        assert [page.response.status_code for page in pages] == [200, 200]
        assert await content(user.request()) == {"bait": 1, "of 0": 1, "of 1": 1}
        assert await finds(site, visitor.jar[COOKIE]) == {}
        assert (await user.finds())["user"] == VICTIM

    for order in site.orders(4, 4):
        site.drive(check(order))


def _of(view: View, exchange: Exchange) -> Step:
    return lambda: view(exchange)
