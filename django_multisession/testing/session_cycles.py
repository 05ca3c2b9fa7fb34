"""A session moves to a new key while others use it: one copy lives, with the changes of all."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from django.contrib.sessions.backends.base import UpdateError

from ..exceptions import SessionTooLarge, StoreUnavailable
from ..sessions.exceptions import SessionEnded
from .visits import Visits, in_both_colours


@in_both_colours
class Cycles:
    async def test_cycle_key_moves_the_session(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        await ours.cycle_key()
        assert ours.key != key
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"a": 1}

    @pytest.mark.parametrize("moment", ["insert", "replace"])
    async def test_cycle_key_twice_at_once_has_one_winner(self, visits: Visits, moment: str) -> None:
        key = await visits.store(a=1)
        ours, theirs = await visits.load(key), await visits.load(key)
        created: list[str] = []

        async def note() -> None:
            created.append(ours.key)

        visits.plan.on("insert", before=theirs.cycle_key if moment == "insert" else None, after=note)
        if moment == "replace":
            visits.plan.on("replace", before=theirs.cycle_key)
        with pytest.raises(SessionEnded):
            await ours.cycle_key()
        assert visits.plan.done()
        assert await visits.data(theirs.key) == {"a": 1}
        assert [await visits.data(dead) for dead in (key, *created)] == [None, None]

    @pytest.mark.parametrize("moment", ["insert", "replace"])
    async def test_cycle_key_takes_a_change_of_theirs_along(self, visits: Visits, moment: str) -> None:
        key = await visits.store(a=0, b=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on(moment, before=visits.changing(key, b=2))
        await ours.cycle_key()
        assert visits.plan.done()
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == await ours.data() == {"a": 1, "b": 2}

    async def test_save_after_a_cycle_key_of_theirs_does_not_bring_the_old_key_back(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        theirs = visits.open(key)
        visits.plan.on("replace", before=theirs.cycle_key)
        with pytest.raises(UpdateError):
            await ours.save()
        assert await visits.data(key) is None
        assert await visits.data(theirs.key) == {"a": 0}

    async def test_cycle_key_of_a_session_that_ends_meanwhile_leaves_no_copy(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        created: list[Any] = []

        async def logout() -> None:
            created.append(ours.key)
            await visits.open(key).flush()

        visits.plan.on("replace", before=logout)
        with pytest.raises(SessionEnded):
            await ours.cycle_key()
        assert [await visits.data(dead) for dead in (key, *created)] == [None, None]

    async def test_cycle_key_in_an_outage_leaves_the_old_key(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        visits.plan.on("insert", lose="command")
        with pytest.raises(StoreUnavailable):
            await ours.cycle_key()
        assert ours.key == key
        assert await visits.data(key) == {"a": 0}
        await ours.set("a", 1)
        await ours.save()
        assert await visits.data(key) == {"a": 1}

    async def test_cycle_key_in_an_outage_after_a_merge_can_be_followed_by_a_save(
        self, visits: Visits, configure: Callable[..., None]
    ) -> None:
        configure(MERGE={"count": "counter"})
        key = await visits.store(count=0)
        ours = await visits.load(key)
        await ours.set("count", 1)
        visits.plan.on("replace", before=visits.changing(key, count=1))
        visits.plan.on("replace", lose="command")  # of what was merged, to the new key
        with pytest.raises(StoreUnavailable):
            await ours.cycle_key()
        assert ours.key == key
        await ours.save()
        assert await visits.data(key) == {"count": 2}

    @pytest.mark.parametrize("lost", ["command", "reply"])
    async def test_cycle_key_whose_pointer_meets_an_outage_goes_on_under_the_new_key(
        self, visits: Visits, lost: Literal["command", "reply"]
    ) -> None:
        # What it has moved to is acknowledged; an error here would cost the visitor a session that lives.
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", lose=lost)
        await ours.cycle_key()
        assert ours.key != key
        assert ours.session.outage is None
        assert await visits.data(ours.key) == {"a": 1}
        await ours.set("a", 2)
        await ours.save()
        assert await visits.data(ours.key) == {"a": 2}

    async def test_cycle_key_of_an_emptied_session_that_is_no_more_starts_a_new_one(self, visits: Visits) -> None:
        # As login() does with the cookie of a session that has ended, after the view has called clear().
        visit = visits.open("0" * 32)
        visit.session.clear()
        await visit.set("a", 1)
        await visit.cycle_key()
        assert visit.key != "0" * 32
        assert await visits.data(visit.key) == {"a": 1}

    async def test_cycle_key_of_what_became_too_large_meanwhile_leaves_the_old_key(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", "a" * 900)
        visits.plan.max_payload = 1500
        created: list[Any] = []

        async def note() -> None:
            created.append(ours.key)

        visits.plan.on("insert", after=note)
        visits.plan.on("replace", before=visits.changing(key, b="b" * 900))
        with pytest.raises(SessionTooLarge):
            await ours.cycle_key()
        assert ours.key == key
        assert await visits.data(key) == {"a": 0, "b": "b" * 900}
        assert await visits.data(created[0]) is None

    async def test_cycle_key_after_clear_takes_nothing_along(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        ours.session.clear()
        await ours.set("b", 1)
        visits.plan.on("replace", before=visits.changing(key, c=2))
        await ours.cycle_key()
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"b": 1}
