"""Outages: a store that does not answer, and replies that are lost."""

from typing import Any, Literal

import pytest
from django.contrib.sessions.backends.base import UpdateError

from ..exceptions import StoreUnavailable
from .session_merges import Configure
from .visits import Visits, in_both_colours

Lost = Literal["command", "reply"]
either_lost = pytest.mark.parametrize("lost", ["command", "reply"])


@in_both_colours
class Outages:
    # Nothing is concluded from an outage.

    async def test_outage_on_load_keeps_key_and_cookie(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        visit = visits.open(key)
        visits.plan.on("read", lose="command")
        with pytest.raises(StoreUnavailable) as caught:
            await visit.get("a")
        assert key not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        assert visit.key == key
        assert not visit.session.is_empty()
        assert isinstance(visit.session.outage, StoreUnavailable)
        assert await visit.get("a") == 1

    @either_lost
    async def test_outage_on_save_keeps_data_and_key(self, visits: Visits, lost: Lost) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", lose=lost)
        with pytest.raises(StoreUnavailable):
            await ours.save()
        assert ours.key == key
        await ours.save()
        assert await visits.data(key) == await ours.data() == {"a": 1}

    @pytest.mark.parametrize("again", [False, True])
    async def test_outage_on_create_is_not_taken_for_a_collision(self, visits: Visits, again: bool) -> None:
        ours = visits.open()
        await ours.set("a", 1)
        visits.plan.on("insert", lose="command", retryable=again, times=5)
        with pytest.raises(StoreUnavailable):
            await ours.create()
        assert visits.plan.calls.count("insert") == (2 if again else 1)
        assert ours.key is None
        assert await ours.data() == {"a": 1}

    async def test_outage_on_delete_is_raised(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        visits.plan.on("delete", lose="command")
        with pytest.raises(StoreUnavailable):
            await visits.open(key).flush()
        assert await visits.data(key) == {"a": 1}

    async def test_outage_on_exists_is_raised(self, visits: Visits) -> None:
        key = await visits.store()
        visits.plan.on("exists", lose="command")
        with pytest.raises(StoreUnavailable):
            await visits.open().exists(key)

    async def test_taken_key_is_followed_by_another(self, visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
        taken = await visits.store(a="theirs")
        free = "free" + taken[4:]
        keys = iter([taken, taken, free])
        monkeypatch.setattr(visits.session_class, "_get_new_session_key", lambda self: next(keys))
        ours = visits.open()
        await ours.set("a", "ours")
        await ours.save()
        assert ours.key == free
        assert await visits.data(taken) == {"a": "theirs"}
        assert await visits.data(free) == {"a": "ours"}

    # A connection that broke: the command was lost, or its reply.

    @either_lost
    async def test_lost_read_is_repeated(self, visits: Visits, lost: Lost) -> None:
        key = await visits.store(a=1)
        visits.plan.on("read", lose=lost, retryable=True)
        assert await visits.data(key) == {"a": 1}

    @either_lost
    async def test_lost_insert_makes_one_session(self, visits: Visits, lost: Lost) -> None:
        ours = visits.open()
        await ours.set("a", 1)
        visits.plan.on("insert", lose=lost, retryable=True)
        await ours.create()
        assert visits.plan.calls == ["insert", "read", *(["insert"] if lost == "command" else [])]
        await ours.set("a", 2)
        await ours.save()
        assert await visits.data(ours.key) == {"a": 2}

    @either_lost
    async def test_lost_replace_is_recognised_as_our_own(self, visits: Visits, configure: Any, lost: Lost) -> None:
        configure(MERGE={"count": "counter"})
        key = await visits.store(count=1)
        ours = await visits.load(key)
        await ours.set("count", 2)
        visits.plan.on("replace", lose=lost, retryable=True)
        await ours.save()
        assert await visits.data(key) == {"count": 2}
        await ours.set("count", 3)
        await ours.save()
        assert await visits.data(key) == {"count": 3}

    @either_lost
    async def test_lost_replace_of_a_session_that_ended_does_not_bring_it_back(
        self, visits: Visits, lost: Lost
    ) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        logout = visits.flushing(key)
        before, after = (logout, None) if lost == "command" else (None, logout)
        visits.plan.on("replace", before=before, after=after, lose=lost, retryable=True)
        with pytest.raises(UpdateError):
            await ours.save()
        assert await visits.data(key) is None

    async def test_lost_command_and_a_change_of_theirs_merge(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.changing(key, b=2), lose="command", retryable=True)
        await ours.save()
        assert await visits.data(key) == {"a": 1, "b": 2}

    async def test_lost_reply_and_a_change_of_theirs_on_top_merge(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", after=visits.changing(key, b=2), lose="reply", retryable=True)
        await ours.save()
        assert await visits.data(key) == {"a": 1, "b": 2}

    @pytest.mark.parametrize("setting", [{"MERGE": {"n": "counter"}}, {"ON_CONFLICT": "strict"}])
    async def test_lost_reply_and_a_change_of_theirs_on_top_is_no_second_change(
        self, visits: Visits, configure: Configure, setting: dict[str, Any]
    ) -> None:
        configure(**setting)
        key = await visits.store(n=0)
        ours = await visits.load(key)
        await ours.set("n", 1)
        visits.plan.on("replace", after=visits.changing(key, n=2), lose="reply", retryable=True)
        with pytest.raises(StoreUnavailable):
            await ours.save()
        assert await visits.data(key) == {"n": 2}

    @either_lost
    async def test_lost_pointer_in_a_cycle_key_leaves_one_copy(self, visits: Visits, lost: Lost) -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        visits.plan.on("replace", lose=lost, retryable=True)
        await ours.cycle_key()
        assert ours.key != key
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"a": 1}

    @either_lost
    async def test_lost_insert_in_a_cycle_key_leaves_one_copy(self, visits: Visits, lost: Lost) -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        visits.plan.on("insert", lose=lost, retryable=True)
        await ours.cycle_key()
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"a": 1}

    @either_lost
    async def test_lost_logout_ends_the_session(self, visits: Visits, lost: Lost) -> None:
        key = await visits.store(a=1)
        visits.plan.on("delete", lose=lost, retryable=True)
        await visits.open(key).flush()
        assert await visits.data(key) is None
