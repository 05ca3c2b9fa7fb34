"""Requests of one visitor at the same time, in every order that HTTP can settle: logged in at the end, with the cart.

The one that it cannot: a response that was right to prolong the session, made before the key changed, and answered
after the new key's.

What is exhausted at night, in all orders of answers: two to six requests that are alike, in all orders of their looks
and responses that differ to a store (``meetings()``), for up to four on every engine, and for five in memory, in all
orders of their looks, acts and responses; two logins beside up to three pages, of three in memory alone. That
``meetings()`` leaves nothing out is shown by every single order of two and of three logins, in memory. What is drawn:
by day, wherever there are more than ``site.most``; at night, what no engine does in minutes. A request is in three
pieces here; test_interleavings.py takes its calls to the store one by one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from django_multisession.testing.drive import driving
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Step, meetings, play

pytestmark = pytest.mark.slow

View = Callable[[Exchange], Awaitable[object]]


def steps(request: Exchange, act: View | None = None) -> list[Step]:
    """Return a request's pieces: it loads the session, acts, ends, and its answer comes."""
    acts = [] if act is None else [lambda: act(request)]
    return [request.look, *acts, request.respond, request.answer]


def keys_in_the_end(requests: Sequence[Exchange]) -> set[str | None]:
    """Return the keys that the browser may have in the end: answers come in any order, and the last one decides."""
    assert not any(request.deletes for request in requests)
    sent: set[str | None] = {request.sent for request in requests if request.sent}
    return sent or {request.brought for request in requests}


async def log_in(request: Exchange) -> None:
    await request.login()
    await request.put(**{f"by {id(request)}": True})


def marks(requests: Sequence[Exchange]) -> dict[str, bool]:
    return {f"by {id(request)}": True for request in requests}


@pytest.mark.parametrize("how_many", [2, 3])
def test_login_that_is_clicked_twice_logs_in(site: Site, how_many: int) -> None:
    async def check(order: tuple[int, ...]) -> None:
        browser = await site.visitor(cart=["book"])
        requests = [browser.request() for _ in range(how_many)]
        await play(order, *(steps(request, log_in) for request in requests))
        assert [request.response.status_code for request in requests] == [200] * how_many
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"], **marks(requests)}

    all_of_three = 34_650
    for order in site.orders(*[4] * how_many, most=all_of_three if site.is_exhaustive else site.most):
        site.drive(check(order))


@pytest.mark.parametrize("how_many", [2, 3, 4, 5, 6])
def test_login_that_is_clicked_often_logs_in_whichever_answer_comes_last(site: Site, how_many: int) -> None:
    async def check(order: tuple[int, ...]) -> None:
        browser = await site.visitor(cart=["book"])
        requests = [browser.request() for _ in range(how_many)]
        await play(order, *(steps(request, log_in)[:3] for request in requests))
        assert [request.response.status_code for request in requests] == [200] * how_many
        for key in keys_in_the_end(requests):
            assert await site.browser(key).finds() == {"user": VICTIM, "cart": ["book"], **marks(requests)}

    for order in site.some(meetings((0,) * how_many, acts=how_many < (6 if site.is_exhaustive else 5))):
        site.drive(check(order))


@pytest.mark.parametrize("how_many", [2, 4, 6])
def test_rotation_of_secret_key_logs_nobody_out(site: Site, settings: Any, how_many: int) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "fake old secret", []

    async def check(order: tuple[int, ...], key: str | None) -> None:
        requests = [site.browser(key).request() for _ in range(how_many)]
        await play(order, *(steps(request, Exchange.user)[:3] for request in requests))
        assert [request.response.status_code for request in requests] == [200] * how_many
        keys = keys_in_the_end(requests)
        assert key not in keys
        for new in keys:
            assert await site.browser(new).finds() == {"user": VICTIM, "cart": ["book"]}

    tried = site.some(meetings((0,) * how_many, acts=how_many < 5))
    # A loop for each process: what it has open ends with it.
    with driving(site.colour, lambda: None) as drive:
        keys = [drive(site.user(cart=["book"])).key for _ in tried]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "fake new secret", ["fake old secret"]
    with driving(site.colour, lambda: None) as drive:
        for order, key in zip(tried, keys, strict=True):
            drive(check(order, key))


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    ("logins", "pages"),
    [(2, 1), (2, 2), pytest.param(2, 3, marks=pytest.mark.nightly), pytest.param(3, 3, marks=pytest.mark.nightly)],
)
def test_pages_beside_a_login_that_is_clicked_often_log_nobody_out(
    site: Site, settings: Any, logins: int, pages: int, every: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every
    views: list[View] = [*[log_in] * logins, *[changed, same_value, unchanged][:pages]]
    kinds = [0] * logins + [*range(1, pages + 1)]

    async def check(order: tuple[int, ...]) -> None:
        browser = await site.visitor(cart=["book"])
        requests = [browser.request() for _ in views]
        await play(order, *(steps(*both)[:3] for both in zip(requests, views, strict=True)))
        assert [request.response.status_code for request in requests[:logins]] == [200] * logins
        page = requests[logins]
        expected = {"user": VICTIM, "cart": ["book"], **marks(requests[:logins])}
        if page.response.status_code == 200:
            expected["seen"] = True
        login_ends = min(moment(order, part, 2) for part in range(logins))
        for number, request in enumerate(requests):
            if request.sent == browser.key:
                assert moment(order, number, 2) < login_ends  # right when it was made; it must not come last
                request.sent = None
        for key in keys_in_the_end(requests):
            assert await site.browser(key).finds() == expected

    for order in site.some(meetings(kinds, acts=pages < 3 and site.is_exhaustive)):
        site.drive(check(order))


def moment(order: tuple[int, ...], part: int, step: int) -> int:
    """Return when a step of a part is taken."""
    return [when for when, number in enumerate(order) if number == part][step]


async def unchanged(request: Exchange) -> None:
    """Do nothing more than look."""


async def same_value(request: Exchange) -> None:
    await request.put(cart=["book"])


async def changed(request: Exchange) -> None:
    await request.put(seen=True)


async def login(browser: Browser) -> list[Step]:
    return steps(browser.request(), Exchange.login)


async def change_password(browser: Browser) -> list[Step]:
    return steps(browser.request(), Exchange.change_password)


async def logout_and_in(browser: Browser) -> list[Step]:
    requests: list[Exchange] = []

    def send(act: View) -> Step:
        async def act_in_a_new_request() -> None:
            requests.append(browser.request())
            await act(requests[-1])

        return act_in_a_new_request

    async def log_in(request: Exchange) -> None:
        await request.put(cart=["book"])
        await request.login()

    async def respond() -> None:
        await requests[-1].respond()

    async def answer() -> None:
        await requests[-1].answer()

    return [send(Exchange.logout), respond, answer, send(log_in), respond, answer]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("slow", [unchanged, same_value, changed])
@pytest.mark.parametrize("meanwhile", [login, change_password, logout_and_in])
def test_slow_page_that_answers_last_logs_nobody_out(
    site: Site, settings: Any, meanwhile: Callable[[Browser], Awaitable[list[Step]]], slow: View, every: bool
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST, settled = every, 0

    async def check(order: tuple[int, ...]) -> int:
        visitor = site.visitor if meanwhile is login else site.user
        browser = await visitor(cart=["book"])
        request, brought = browser.request(), browser.key
        await play(order, await meanwhile(browser), steps(request, slow))
        is_last = moment(order, 1, 3) > moment(order, 0, length - 1)
        if is_last and request.sent is not None and browser.key == request.sent:
            made_at = moment(order, 1, 0 if request.sent != brought else 2)
            changed_at = moment(order, 0, 0 if meanwhile is logout_and_in else 2)
            if request.sent == brought:
                assert made_at < changed_at, "the old key, after it had ended"
            else:
                # Nothing connects a key that was logged out with the login that follows.
                assert made_at > changed_at, "a new session in place of one that was seen"
                assert meanwhile is logout_and_in
                assert slow is not unchanged
            return 0  # a write that was right when it was made, answered last
        found = await browser.finds()
        found.pop("seen", None)
        assert found == {"user": VICTIM, "cart": ["book"]}
        return 1

    length = 6 if meanwhile is logout_and_in else 4
    for order in site.orders(length, 4, most=210 if site.is_nightly else site.most):
        settled += site.drive(check(order))
    assert settled
