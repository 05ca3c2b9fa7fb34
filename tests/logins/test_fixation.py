"""An attacker who has planted a session key, and holds slow requests on it, never gets a key of the victim's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from django_multisession.bridge import driven
from tests.logins.conftest import Site
from tests.logins.site import ATTACKER, VICTIM, Browser, Exchange, Step, play

View = Callable[[Exchange], Awaitable[object]]


async def login_as_the_attacker(request: Exchange) -> None:
    await request.login(ATTACKER)


async def write(request: Exchange) -> None:
    await request.put(planted=True)


async def claim_to_be_logged_in(request: Exchange) -> None:
    """Get the session layer to believe as much as a view can be made to write of an anonymous visitor."""
    await request.put(_auth_user_id="1", planted=True)


ATTEMPTS = [Exchange.look, write, Exchange.cycle_key, login_as_the_attacker, claim_to_be_logged_in]


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("every", [False, True])
def test_attacker_who_planted_the_key_never_gets_the_victims(
    site: Site, settings: object, attempt: View, every: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every  # type: ignore[attr-defined]  # pytest-django's settings

    async def check(order: tuple[int, ...]) -> None:
        attacker = await site.visitor(cart=["bait"])
        victim = Browser(site.middleware, attacker.key)
        login, sent = victim.request(), []
        slow = [attacker.request() for _ in range(2)]

        async def change_password() -> None:
            sent.append(victim.request())
            await sent[0].change_password()

        async def respond() -> None:
            await sent[0].respond()
            await sent[0].answer()

        victims: list[Step] = [login.look, login.login, login.respond, login.answer, change_password, respond]
        await play(order, victims, *([request.look, _trying(attempt, request), request.respond] for request in slow))
        for request in slow:
            assert await _user_of(site, request.sent) != VICTIM, "the victim's key"
        victims_keys = {login.sent, sent[0].sent} - {None}
        assert victims_keys.isdisjoint({request.sent for request in slow})

    for order in site.orders(6, 3, 3, most=max(site.most // 5, 2)):
        site.drive(check(order))


def _trying(attempt: View, request: Exchange) -> Step:
    return lambda: attempt(request)


async def _user_of(site: Site, key: str | None) -> int | None:
    if key is None:
        return None
    request = Browser(site.middleware, key).request()
    user = await request.user()
    found: int | None = user.pk
    assert driven() or found is None or isinstance(found, int)
    return found
