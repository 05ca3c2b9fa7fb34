"""One session in two places: carried once, ended for good, changed in either, whoever comes between."""

from __future__ import annotations

import functools
import time
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.utils import timezone

from django_multisession.exceptions import InvalidRecord, StoreUnavailable
from django_multisession.testing import Drive
from django_multisession.testing.visits import HOUR
from tests.contract.conftest import Backend
from tests.moving.conftest import Site, made_site

LATER = 2 * 60 + 1
"""Seconds after which no pointer leads anywhere, clocks that differ included."""


def driven(test: Any) -> Any:
    """Let a test be an ``async def`` that the drive of its site runs."""

    @functools.wraps(test)
    def drive(site: Site, **fixtures: Any) -> None:
        site.old.drive(test(site=site, **fixtures))

    return drive


async def nowhere(site: Site, key: str) -> bool:
    """Tell whether no process finds a session under a key."""
    return not any([await visits.data(key) for visits in (site.old, site.beside, site.carrying)])


@driven
async def test_session_that_is_carried_keeps_its_key_data_and_remaining_life(*, site: Site) -> None:
    visit = site.old.open()
    await visit.set("_auth_user_id", "7")
    await visit.set("count", 1)
    await visit.set_expiry(3 * HOUR)
    await visit.save()
    before = await site.old.header(visit.key)
    data = {"_auth_user_id": "7", "count": 1, "_session_expiry": 3 * HOUR}
    assert await site.carrying.data(visit.key) == data
    header = await site.carrying.header(visit.key)
    assert abs(header.expires_at - before.expires_at) <= 2
    assert (header.created_at, header.authenticated_at) == (before.created_at, before.authenticated_at)
    assert await site.old.data(visit.key) is None
    assert await site.beside.data(visit.key) == data


@driven
async def test_session_that_is_here_costs_one_round_trip(*, site: Site) -> None:
    key = await site.carrying.store(count=1)
    site.forget()
    assert await site.carrying.data(key) == {"count": 1}
    assert (site.here.calls, site.there.calls) == (["read"], [])
    site.forget()
    await site.carrying.change(key, count=2)
    assert (site.here.calls, site.there.calls) == (["read", "replace"], [])


@driven
async def test_unknown_key_asks_the_old_place_once(*, site: Site) -> None:
    assert await site.carrying.data("a" * 32) is None
    assert (site.here.calls, site.there.calls) == (["read", "read"], ["read"])


@pytest.mark.parametrize("key", ["short", "ä" * 32, "a" * 200])
@driven
async def test_key_that_looks_like_none_asks_nothing_there(*, site: Site, key: str) -> None:
    assert await site.carrying.data(key) is None
    assert site.there.calls == []


@driven
async def test_visitor_without_a_session_asks_nothing(*, site: Site) -> None:
    for visits in (site.carrying, site.beside):
        await visits.open().data()
    assert (site.here.calls, site.there.calls) == ([], [])


@driven
async def test_session_that_is_carried_costs_two_round_trips_in_each_place(*, site: Site) -> None:
    key = await site.old.store(count=1)
    await site.carrying.data(key)
    assert (site.here.calls, site.there.calls) == (["read", "insert"], ["read", "delete"])


@driven
async def test_new_session_is_here_alone_once_it_carries(*, site: Site) -> None:
    key = await site.carrying.store(count=1)
    assert site.there.calls == []
    assert await site.old.data(key) is None


@driven
async def test_new_session_is_there_while_it_does_not_carry(*, site: Site) -> None:
    key = await site.beside.store(count=1)
    assert await site.old.data(key) == {"count": 1}
    await site.beside.change(key, count=2)
    await site.old.change(key, more=3)
    assert await site.beside.data(key) == {"count": 2, "more": 3}
    assert await site.beside.raw(key) is None
    assert await site.carrying.data(key) == {"count": 2, "more": 3}


@pytest.mark.parametrize("process", ["beside", "carrying"])
@pytest.mark.parametrize("is_carried", [False, True])
@driven
async def test_logout_is_final_in_both_places(*, site: Site, process: str, is_carried: bool) -> None:
    key = await site.old.store(count=1)
    if is_carried:
        await site.carrying.data(key)
    late = await site.beside.load(key)
    visit = await getattr(site, process).load(key)
    await visit.flush()
    assert await nowhere(site, key)
    await late.set("count", 2)
    with pytest.raises(UpdateError):
        await late.save()
    assert await nowhere(site, key)


@driven
async def test_what_never_was_there_leaves_no_tombstone(*, site: Site) -> None:
    visit = site.carrying.open()
    await visit.set("count", 1)
    await visit.save()
    key = visit.key
    await visit.flush()
    assert await site.carrying.raw(key) is None


@pytest.mark.parametrize("process", ["beside", "carrying"])
@driven
async def test_tombstone_stands_for_as_long_as_the_session_could_live_there(*, site: Site, process: str) -> None:
    await _ends_for_a_month(site, process)


@pytest.mark.parametrize("process", ["beside", "carrying"])
def test_tombstone_outlasts_until_which_may_be_set_to_a_later_day(backend: Backend, drive: Drive, process: str) -> None:
    with backend.configured():
        site = made_site(backend, drive, UNTIL=(timezone.now() + timedelta(hours=1)).isoformat())
        drive(_ends_for_a_month(site, process))


async def _ends_for_a_month(site: Site, process: str) -> None:
    visit = site.old.open()
    await visit.set_expiry(30 * 24 * HOUR)
    await visit.save()
    seconds: list[int] = []

    async def noted(operation: Any, key: str, payload: bytes, ttl: int, *rest: Any) -> Any:
        seconds.append(ttl)
        return await operation(key, payload, ttl, *rest)

    visits = getattr(site, process)
    ours = await visits.load(visit.key)
    if process == "carrying":
        await ours.set_expiry(HOUR)
        await ours.save()
    records = visits.session_class.records()
    store = records.store
    with mock.patch.object(records, "store", mock.Mock(wraps=store)) as watched:
        watched.insert = functools.partial(noted, store.insert)
        watched.replace = functools.partial(noted, store.replace)
        await ours.flush()
    assert seconds
    assert abs(max(seconds) - 30 * 24 * HOUR) < 2 * 60


@pytest.mark.parametrize("process", ["beside", "carrying"])
@driven
async def test_logout_of_a_key_that_was_not_loaded_is_final(*, site: Site, process: str) -> None:
    key = await site.old.store(count=1)
    await getattr(site, process).open().delete(key)
    assert await nowhere(site, key)


@pytest.mark.parametrize("process", ["beside", "carrying"])
@driven
async def test_change_of_key_leaves_nothing_under_the_old_one(*, site: Site, process: str) -> None:
    visits = getattr(site, process)
    key = await site.old.store(count=1)
    visit = await visits.load(key)
    await visit.cycle_key()
    assert await nowhere(site, key)
    assert await visits.data(visit.key) == {"count": 1}
    assert (await site.old.data(visit.key) == {"count": 1}) is (process == "beside")
    with mock.patch("django_multisession.moving.places.time.time", return_value=time.time() + LATER):
        ours = visits.open(key)
        assert await ours.data() == {}
        assert not ours.session.has_rotated


@pytest.mark.parametrize("process", ["beside", "carrying"])
@driven
async def test_change_of_key_takes_along_what_is_written_meanwhile(*, site: Site, process: str) -> None:
    visits, plan = (site.beside, site.there) if process == "beside" else (site.carrying, site.here)
    key = await site.old.store(count=1)
    ours = await visits.load(key)
    plan.on("insert", after=lambda: site.beside.change(key, theirs=1))
    await ours.set("ours", 1)
    await ours.cycle_key()
    assert plan.done()
    assert await visits.data(ours.key) == {"count": 1, "ours": 1, "theirs": 1}
    assert await nowhere(site, key)


@pytest.mark.parametrize(("place", "operation"), [("here", "insert"), ("there", "delete")])
@driven
async def test_change_of_key_whose_pointer_meets_a_save_in_the_old_place_takes_it_along(
    *, site: Site, place: str, operation: str
) -> None:
    key = await site.old.store(count=1, _auth_user_id="7", _auth_user_hash="a hash")
    ours, theirs = await site.beside.load(key), await site.beside.load(key)
    await theirs.set("theirs", 1)
    plan, when = getattr(site, place), "after" if place == "here" else "before"
    plan.on(operation, **{when: theirs.save})
    await ours.cycle_key()
    assert plan.done()
    assert theirs.key == ours.key != key
    assert ((await site.beside.data(ours.key)) or {})["theirs"] == 1
    assert await nowhere(site, key)


@pytest.mark.parametrize("process", ["beside", "carrying"])
@pytest.mark.parametrize("who", ["old", "beside"])
@driven
async def test_change_of_key_while_the_session_is_logged_out_does_not_live(
    *, site: Site, process: str, who: str
) -> None:
    visits, plan = (site.beside, site.there) if process == "beside" else (site.carrying, site.here)
    key = await site.old.store(count=1)
    ours = await visits.load(key)
    if process == "carrying" and who == "old":
        return  # it is not there any more
    plan.on("insert", after=getattr(site, who).flushing(key))
    with pytest.raises(UpdateError):
        await ours.cycle_key()
    assert plan.done()
    assert await nowhere(site, key)


@pytest.mark.parametrize("process", ["beside", "carrying"])
@driven
async def test_logout_that_is_overtaken_by_a_change_of_key_ends_the_new_one(*, site: Site, process: str) -> None:
    key = await site.old.store(count=1)
    ours, other = await site.beside.load(key), await getattr(site, process).load(key)
    await other.cycle_key()
    await ours.flush()
    assert await nowhere(site, key)
    assert await nowhere(site, other.key)


@pytest.mark.parametrize("process", ["beside", "carrying"])
@driven
async def test_session_that_is_carried_between_two_looks_is_found(*, site: Site, process: str) -> None:
    key = await site.old.store(count=1)
    site.here.on("read", after=lambda: site.carrying.data(key))
    assert await getattr(site, process).data(key) == {"count": 1}
    assert site.here.done()


@driven
async def test_two_that_carry_at_once_make_one_session_and_lose_nothing(*, site: Site) -> None:
    key = await site.old.store(count=1)
    other: Any = None

    async def carries() -> None:
        nonlocal other
        other = await site.carrying.load(key)

    site.there.on("read", after=carries)
    ours = await site.carrying.load(key)
    await ours.set("ours", 1)
    await other.set("theirs", 1)
    await ours.save()
    await other.save()
    assert ours.key == other.key == key
    assert await site.carrying.data(key) == {"count": 1, "ours": 1, "theirs": 1}
    assert await site.old.data(key) is None


@pytest.mark.parametrize("moment", ["read there", "insert here", "delete there"])
@driven
async def test_logout_while_it_is_carried_is_final(*, site: Site, moment: str) -> None:
    key = await site.old.store(count=1)
    operation, _, place = moment.partition(" ")
    getattr(site, place).on(operation, after=site.beside.flushing(key))
    await site.carrying.load(key)
    assert await nowhere(site, key)


@driven
async def test_logout_by_who_knows_of_no_fallback_while_it_is_carried_is_final(*, site: Site) -> None:
    key = await site.old.store(count=1)
    site.there.on("read", after=site.old.flushing(key))
    assert await site.carrying.data(key) is None
    assert await nowhere(site, key)


@pytest.mark.parametrize("moment", ["read there", "insert here", "delete there"])
@driven
async def test_change_while_it_is_carried_is_kept(*, site: Site, moment: str) -> None:
    key = await site.old.store(count=1)
    writer = await site.beside.load(key)
    await writer.set("late", 1)
    operation, _, place = moment.partition(" ")
    site.forget()
    getattr(site, place).on(operation, after=writer.save)
    ours = await site.carrying.load(key)
    await ours.set("ours", 1)
    await ours.save()
    assert site.here.done()
    assert site.there.done()
    assert await site.carrying.data(key) == {"count": 1, "late": 1, "ours": 1}
    assert await site.old.data(key) is None


@pytest.mark.parametrize("operation", ["read", "replace"])
@driven
async def test_change_of_a_session_that_is_carried_in_the_middle_of_it_is_kept(*, site: Site, operation: str) -> None:
    key = await site.old.store(count=1)
    site.there.on(operation, after=lambda: site.carrying.change(key, theirs=1))
    await site.beside.change(key, ours=1)
    assert site.there.done()
    assert await site.carrying.data(key) == {"count": 1, "ours": 1, "theirs": 1}
    assert await site.old.data(key) is None


@driven
async def test_logout_in_the_middle_of_a_save_there_is_final(*, site: Site) -> None:
    key = await site.old.store(count=1)
    ours = await site.beside.load(key)
    await ours.set("count", 2)
    site.there.on("replace", before=site.beside.flushing(key))
    with pytest.raises(UpdateError):
        await ours.save()
    assert await nowhere(site, key)


@driven
async def test_outage_of_the_old_place_is_one_of_the_session(*, site: Site) -> None:
    for visits in (site.carrying, site.beside):
        key = await site.old.store(count=1)
        site.there.on("read", lose="command")
        with pytest.raises(StoreUnavailable):
            await visits.load(key)
        assert await visits.data(key) == {"count": 1}


@driven
async def test_outage_of_the_old_place_after_the_session_has_come_does_not_matter(*, site: Site) -> None:
    key = await site.old.store(count=1)
    site.there.on("delete", lose="command")
    assert await site.carrying.data(key) == {"count": 1}
    assert await site.carrying.data(key) == {"count": 1}


@pytest.mark.parametrize("carry", [True, False])
def test_outage_of_a_place_that_is_not_required_is_an_empty_session(
    backend: Backend, drive: Drive, carry: bool
) -> None:
    with backend.configured():
        site = made_site(backend, drive, REQUIRED=False)
        key = drive(site.old.store(count=1))
        visits = site.carrying if carry else site.beside
        site.there.on("read", lose="command")
        visit = visits.open(key)
        assert drive(visit.data()) == {}
        assert not visit.session.is_empty()  # the middleware would delete its cookie
        assert visit.session.outage is None
        assert drive(visits.data(key)) == {"count": 1}


def test_place_is_not_asked_after_until(backend: Backend, drive: Drive) -> None:
    with backend.configured():
        site = made_site(backend, drive, UNTIL="2020-01-01")
        key = drive(site.old.store(count=1))
        assert drive(site.carrying.data(key)) is None
        assert drive(site.beside.data(key)) is None
        assert drive(site.old.data(drive(site.beside.store(count=1)))) is None
        assert site.there.calls == []


@driven
async def test_what_is_unreadable_here_does_not_ask_there(*, site: Site) -> None:
    key = await site.old.store(count=1)
    await site.carrying.data(key)
    payload = await site.carrying.payload(key)
    await site.carrying.overwrite(key, payload[:-1] + bytes([payload[-1] ^ 1]))
    site.forget()
    assert await site.carrying.data(key) == {}
    assert site.there.calls == []


@driven
async def test_session_that_its_serializer_cannot_read_can_be_ended(*, site: Site) -> None:
    key = await site.old.store(count=1)
    await site.carrying.data(key)
    repository = site.carrying.session_class.repository()
    with mock.patch("django_multisession.moving.places.Places._parsed", side_effect=InvalidRecord("a test")):
        await repository.delete(repository.records.key(key), None)
    assert await nowhere(site, key)


@driven
async def test_session_that_is_larger_than_max_size_is_carried(*, site: Site, configure: Any) -> None:
    key = await site.old.store(text="x" * 200_000)
    site.carrying.session_class.made.records._max_size = 1000  # type: ignore[attr-defined]  # its class is a Process
    assert len((await site.carrying.data(key) or {})["text"]) == 200_000


@driven
async def test_session_that_is_revoked_by_its_storage_key_does_not_come_back(*, site: Site) -> None:
    key = await site.old.store(count=1)
    await site.carrying.data(key)
    records = site.carrying.session_class.records()
    assert await records.delete_many([site.carrying.storage_key(key)]) == 1
    assert await nowhere(site, key)


@driven
async def test_existence_is_looked_up_in_both_places(*, site: Site) -> None:
    key = await site.old.store(count=1)
    for visits in (site.carrying, site.beside):
        assert await visits.open().exists(key)
        assert not await visits.open().exists("a" * 32)
    await site.carrying.open().delete(key)
    for visits in (site.carrying, site.beside):
        assert not await visits.open().exists(key)
