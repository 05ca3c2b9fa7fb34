"""Requests of one visitor whose calls to the store interleave in every way that there is.

What is exhausted: all orders of the calls of two requests, of which each begins before or after any call of the other,
in memory by day and on every engine at night. Of three requests, the orders are drawn. There is no queue of saves here,
as there is none between processes. One colour serves: the bodies are the same in both, and between two calls nobody
else is asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import chain
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_multisession.conf import DEFAULT
from django_multisession.sessions import passwords, repository, rotation
from django_multisession.sessions.loading import session_class
from django_multisession.testing.drive import Drive, driving
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Users
from tests.logins.test_fixation import ATTEMPTS

OPERATIONS = frozenset({"read", "insert", "replace", "delete", "exists"})
Visit = Callable[[Exchange], Awaitable[None]]
Choose = Callable[[int], int]
"""Chooses one of so many."""


class Turns:
    """Lets one of several requests go on at a time, from one call to the store to its next."""

    def __init__(self) -> None:
        self._who: ContextVar[int | None] = ContextVar("who", default=None)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._stopped = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the turn of the request that asks."""
        who = self._who.get()
        if who is not None:
            self._waiting[who] = asyncio.get_running_loop().create_future()
            self._stopped.set()
            await self._waiting[who]

    async def play(self, choose: Choose, *visits: Callable[[], Awaitable[None]]) -> None:
        """Make requests, of which the one goes on that is chosen among those that wait."""
        tasks = [asyncio.ensure_future(self._visit(who, visit)) for who, visit in enumerate(visits)]
        while alive := await self._all_waiting(tasks):
            self._waiting.pop(alive[choose(len(alive))]).set_result(None)
        for task in tasks:
            task.result()

    async def _all_waiting(self, tasks: Sequence[asyncio.Future[None]]) -> list[int]:
        """Return who goes on, once the one whose turn it was waits again or has ended; at first, once all have come."""
        while True:
            alive = [who for who, task in enumerate(tasks) if not task.done()]
            if len(self._waiting) == len(alive):
                return alive
            self._stopped.clear()
            await self._stopped.wait()

    async def _visit(self, who: int, visit: Callable[[], Awaitable[None]]) -> None:
        self._who.set(who)
        try:
            await self.wait()  # one may begin when the other has ended
            await visit()
        finally:
            asyncio.get_running_loop().call_soon(self._stopped.set)


class TakenInTurns:
    """A store whose callers wait for their turns."""

    turns: Turns | None = None

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._call, found) if name in OPERATIONS else found

    async def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        if self.turns is not None:
            await self.turns.wait()
        return await operation(*args, **kwargs)


class Everything:
    """Chooses otherwise each time, until all has been chosen."""

    def __init__(self) -> None:
        self._path: list[tuple[int, int]] = []
        self._at = 0

    def choose(self, width: int) -> int:
        if self._at == len(self._path):
            self._path.append((0, width))
        self._at += 1
        return self._path[self._at - 1][0]

    def ways(self) -> Iterator[Choose]:
        while True:
            self._at = 0
            yield self.choose
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return
            choice, width = self._path.pop()
            self._path.append((choice + 1, width))


def drawn(how_many: int) -> Iterator[Choose]:
    draw = random.Random(0)  # noqa: S311 - no secret
    for _ in range(how_many):
        yield draw.randrange


@pytest.fixture
def drive() -> Iterator[Drive]:
    with driving("async", lambda: None) as drive:
        yield drive


@pytest.fixture
def store(site: Site, monkeypatch: pytest.MonkeyPatch, nightly: bool) -> TakenInTurns:
    if site.engine != "memory" and not nightly:
        pytest.skip("By night; in memory all orders are tried by day.")

    @asynccontextmanager
    async def alone(*_: Any) -> AsyncIterator[None]:
        yield

    async def at_once(attempt: int) -> None:
        pass

    for module in (repository, rotation, passwords):
        monkeypatch.setattr(module, "exclusive", alone)
        monkeypatch.setattr(module, "back_off", at_once)
    records = session_class(DEFAULT).records()
    found = TakenInTurns(records.store)
    monkeypatch.setattr(records, "store", found)
    return found


class Meeting:
    """Requests of one browser, after they have ended."""

    def __init__(self, site: Site, browser: Browser, how_many: int) -> None:
        self.before = browser.key
        self.requests = [browser.request() for _ in range(how_many)]
        self._site = site

    @property
    def statuses(self) -> list[int]:
        return [request.response.status_code for request in self.requests]

    @property
    def keys(self) -> set[str | None]:
        """All session keys that anybody has seen."""
        seen = {key for request in self.requests for key in (request.sent, request.session.session_key)}
        return (seen | {self.before}) - {None}

    def find(self, key: str | None) -> dict[str, Any]:
        """Return what a page shows whose request brings a key."""
        return self._site.drive(self._site.browser(key).finds())


Make = Callable[[], Coroutine[Any, Any, Browser]]


def meetings(
    site: Site, store: TakenInTurns, make: Make, *acts: Visit, most: int | None = None, responds: bool = True
) -> Iterator[Meeting]:
    """Yield each way in which requests can meet; so many of them that are drawn, if ``most`` is given."""

    async def visit(request: Exchange, act: Visit) -> None:
        await act(request)
        if responds:
            await request.respond(races=True)

    async def meet(choose: Choose) -> Meeting:
        meeting = Meeting(site, await make(), len(acts))
        store.turns = Turns()
        try:
            await store.turns.play(
                choose, *(partial(visit, *both) for both in zip(meeting.requests, acts, strict=True))
            )
        finally:
            store.turns = None
        return meeting

    for choose in Everything().ways() if most is None else drawn(most):
        yield site.drive(meet(choose))


async def log_in(request: Exchange) -> None:
    await request.look()
    await request.login()
    await request.put(**{f"by {id(request)}": True})


async def cycle(request: Exchange) -> None:
    await request.look()
    await request.cycle_key()


async def log_out(request: Exchange) -> None:
    await request.logout()


async def change(request: Exchange) -> None:
    await request.look()
    await request.put(seen=True)


async def see_the_user(request: Exchange) -> None:
    await request.user()


def change_password(store: TakenInTurns) -> Visit:
    async def act(request: Exchange) -> None:
        await request.see_user()
        await request.save_password()
        assert store.turns is not None
        await store.turns.wait()  # others see the password before this request asks the store again
        await request.keep_logged_in()

    return act


@pytest.mark.slow
@pytest.mark.parametrize("clicks", [2, 3])
def test_login_that_is_clicked_often_logs_in(site: Site, store: TakenInTurns, clicks: int) -> None:
    tried, most = 0, None if clicks == 2 else site.most
    for meeting in meetings(site, store, partial(site.visitor, cart=["book"]), *[log_in] * clicks, most=most):
        assert meeting.statuses == [200] * clicks
        expected = {"user": VICTIM, "cart": ["book"], **{f"by {id(request)}": True for request in meeting.requests}}
        sent = {request.sent for request in meeting.requests if request.sent}
        assert sent
        for key in sent:
            assert meeting.find(key) == expected
        assert not any(request.deletes for request in meeting.requests)
        tried += 1
    assert tried == most or tried > 200


@pytest.mark.slow
@pytest.mark.parametrize("changes_password", [False, True])
def test_logout_beside_a_change_of_key_is_final(site: Site, store: TakenInTurns, changes_password: bool) -> None:
    act = change_password(store) if changes_password else cycle
    user, tried = partial(site.user, cart=["book"]), 0
    for meeting in chain(
        meetings(site, store, user, act, log_out),
        meetings(site, store, user, act, cycle, log_out, most=site.most),
    ):
        for key in meeting.keys:
            assert meeting.find(key) == {"user": None}
        tried += 1
    assert tried > 30 + site.most


@pytest.mark.slow
def test_logout_beside_a_change_of_key_outside_of_requests_is_final(site: Site, store: TakenInTurns) -> None:
    async def cycle(request: Exchange) -> None:
        request.session.commits_with_response = False
        await request.look()
        with suppress(UpdateError):
            await request.cycle_key()

    async def flush(request: Exchange) -> None:
        request.session.commits_with_response = False
        await request.session.aflush()

    tried = 0
    for meeting in meetings(site, store, partial(site.user, cart=["book"]), cycle, flush, responds=False):
        for key in meeting.keys:
            assert meeting.find(key) == {"user": None}
        tried += 1
    assert tried > 10


@pytest.mark.slow
def test_logout_beside_a_change_is_final(site: Site, store: TakenInTurns) -> None:
    tried = 0
    for meeting in meetings(site, store, partial(site.user, cart=["book"]), change, log_out):
        for key in meeting.keys:
            found = meeting.find(key)
            assert found["user"] is None
            assert "cart" not in found
        tried += 1
    assert tried > 5


def check_page_beside(meeting: Meeting, expected: dict[str, Any], page: Visit) -> None:
    """Check that a request which has changed the key stands, and what a page has changed with it or not at all."""
    ours, other = meeting.requests
    assert ours.response.status_code == 200
    if page is change and other.response.status_code == 200:
        expected["seen"] = True
    assert meeting.find(ours.sent) == expected
    assert other.sent in (None, meeting.before)
    assert not other.deletes


@pytest.mark.slow
def test_page_that_changes_the_session_beside_a_login_is_kept_or_refused(site: Site, store: TakenInTurns) -> None:
    tried = 0
    for meeting in meetings(site, store, partial(site.visitor, cart=["book"]), log_in, change):
        check_page_beside(meeting, {"user": VICTIM, "cart": ["book"], f"by {id(meeting.requests[0])}": True}, change)
        tried += 1
    assert tried > 20


@pytest.mark.slow
@pytest.mark.parametrize("page", [change, see_the_user])
def test_page_beside_a_change_of_password_logs_nobody_out(site: Site, store: TakenInTurns, page: Visit) -> None:
    tried = 0
    for meeting in meetings(site, store, partial(site.user, cart=["book"]), change_password(store), page):
        check_page_beside(meeting, {"user": VICTIM, "cart": ["book"]}, page)
        tried += 1
    assert tried > 20


@pytest.mark.slow
def test_two_changes_of_password_leave_the_one_that_counts(site: Site, store: TakenInTurns) -> None:
    saved: list[Exchange] = []

    def changing(password: str) -> Visit:
        async def act(request: Exchange) -> None:
            await request.see_user()
            if request.request.user.pk is None:
                return  # it has met the other's password, and is nobody's
            await request.save_password(password)
            saved.append(request)
            assert store.turns is not None
            await store.turns.wait()
            await request.keep_logged_in()

        return act

    async def user() -> Browser:
        saved.clear()
        return await site.user(cart=["book"])

    tried = 0
    for meeting in meetings(site, store, user, changing("second"), changing("third")):
        counts = saved[-1]
        assert counts.response.status_code == 200
        assert meeting.find(counts.sent) == {"user": VICTIM, "cart": ["book"]}
        assert Users.passwords[VICTIM] == counts._password
        tried += 1
    assert tried > 20


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_attacker_who_planted_the_key_never_gets_the_victims(site: Site, store: TakenInTurns, attempt: Visit) -> None:
    async def attack(request: Exchange) -> None:
        await request.look()
        await attempt(request)

    tried = 0
    for meeting in meetings(site, store, partial(site.visitor, cart=["bait"]), log_in, attack):
        victim, attacker = meeting.requests
        # A login may be refused for what the attacker has made of the session; it may not be shared.
        assert victim.sent is None or meeting.find(victim.sent)["user"] == VICTIM
        for key in {attacker.sent, attacker.session.session_key} - {None}:
            assert key != victim.sent
            assert meeting.find(key)["user"] != VICTIM
        tried += 1
    assert tried > 10
