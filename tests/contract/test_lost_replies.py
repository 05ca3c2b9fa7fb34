"""A connection that is cut after the server has carried out a write: the session knows its own write again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from django_multisession.testing import Plan
from django_multisession.testing.drive import Drive, driving
from django_multisession.testing.visits import Observed, Visits
from tests.contract.conftest import Backend


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, bool) as drive:
        yield drive


@pytest.fixture
def visits(proxied: Backend, drive: Drive) -> Iterator[Visits]:
    with proxied.configured(MERGE={"count": "counter"}) as engine:
        session_class = type("SessionStore", (Observed, engine), {"plan": Plan()})
        visits = Visits(session_class, drive)
        drive(_warm_up(visits))
        visits.plan.calls.clear()
        yield visits


async def _warm_up(visits: Visits) -> None:
    """Make connections, and have the server learn its scripts."""
    key = await visits.store(a=1)
    await visits.change(key, a=2)
    await (await visits.load(key)).cycle_key()


class Cut:
    """Loses the reply to the next write of a storage key."""

    def __init__(self, proxied: Backend, visits: Visits) -> None:
        assert proxied.proxy is not None
        self._proxy, self._visits = proxied.proxy, visits
        self.done = threading.Event()

    def reply_to(self, operation: str, key: Callable[[], str]) -> None:
        async def cut() -> None:
            self.done = self._proxy.cut_reply(self._visits.storage_key(key()).encode())

        self._visits.plan.on(operation, before=cut)


@pytest.fixture
def cut(proxied: Backend, visits: Visits) -> Cut:
    return Cut(proxied, visits)


def test_lost_reply_to_an_insert_makes_one_session(visits: Visits, drive: Drive, cut: Cut) -> None:
    async def scenario() -> None:
        ours = visits.open()
        await ours.set("a", 1)
        cut.reply_to("insert", lambda: str(ours.key))
        await ours.create()
        assert cut.done.is_set()
        assert visits.plan.calls.count("insert") == 1
        await ours.set("a", 2)
        await ours.save()
        assert await visits.data(ours.key) == {"a": 2}

    drive(scenario())


def test_lost_reply_to_a_change_does_not_apply_it_twice(visits: Visits, drive: Drive, cut: Cut) -> None:
    async def scenario() -> None:
        key = await visits.store(count=1)
        ours = await visits.load(key)
        await ours.set("count", 2)
        cut.reply_to("replace", lambda: key)
        await ours.save()
        assert cut.done.is_set()
        assert await visits.data(key) == {"count": 2}
        await ours.set("count", 3)
        await ours.save()
        assert await visits.data(key) == {"count": 3}

    drive(scenario())


def test_lost_reply_to_a_cycle_key_leaves_one_copy(visits: Visits, drive: Drive, cut: Cut) -> None:
    async def scenario() -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        cut.reply_to("replace", lambda: key)
        await ours.cycle_key()
        assert cut.done.is_set()
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"a": 1}

    drive(scenario())


def test_lost_reply_to_a_logout_ends_the_session(visits: Visits, drive: Drive, cut: Cut) -> None:
    async def scenario() -> None:
        key = await visits.store(a=1)
        cut.reply_to("delete", lambda: key)
        await visits.open(key).flush()
        assert cut.done.is_set()
        assert await visits.data(key) is None

    drive(scenario())


def test_lost_reply_to_a_load_is_asked_for_again(visits: Visits, drive: Drive, cut: Cut) -> None:
    async def scenario() -> None:
        key = await visits.store(a=1)
        cut.reply_to("read", lambda: key)
        assert await visits.data(key) == {"a": 1}
        assert cut.done.is_set()

    drive(scenario())
