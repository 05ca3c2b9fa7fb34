"""Races: two requests use one session at once; no change is lost, and a session that has ended stays ended."""

import pytest
from django.contrib.sessions.backends.base import UpdateError

from ..sessions import repository
from ..sessions.exceptions import SessionConflict, SessionEnded
from .visits import Visits, in_both_colours


@in_both_colours
class Races:
    # save() against save()

    async def test_save_keeps_a_change_of_theirs_to_another_key(self, visits: Visits) -> None:
        key = await visits.store(a=0, b=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.changing(key, b=2))
        await ours.save()
        assert visits.plan.done()
        assert await visits.data(key) == await ours.data() == {"a": 1, "b": 2}

    async def test_save_of_the_same_key_leaves_ours(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", "ours")
        visits.plan.on("replace", before=visits.changing(key, a="theirs"))
        await ours.save()
        assert await visits.data(key) == {"a": "ours"}

    async def test_save_keeps_both_new_keys_and_both_removals(self, visits: Visits) -> None:
        key = await visits.store(a=0, b=0, c=0)
        ours = await visits.load(key)
        await ours.pop("a")
        await ours.set("ours", 1)
        visits.plan.on("replace", before=visits.changing(key, "b", theirs=2))
        await ours.save()
        assert await visits.data(key) == {"c": 0, "ours": 1, "theirs": 2}

    async def test_save_of_a_key_that_they_removed_leaves_ours(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.changing(key, "a"))
        await ours.save()
        assert await visits.data(key) == {"a": 1}

    async def test_save_of_many_at_once_keeps_a_key_of_each(self, visits: Visits) -> None:
        key = await visits.store()
        requests = [await visits.load(key) for _ in range(6)]
        for number, request in enumerate(requests):
            await request.set(f"key{number}", number)
        for request in requests:
            await request.save()
        assert await visits.data(key) == {f"key{number}": number for number in range(6)}

    async def test_save_that_is_overtaken_again_and_again_keeps_all(self, visits: Visits) -> None:
        key = await visits.store()
        ours = await visits.load(key)
        await ours.set("ours", True)
        for number in range(4):
            visits.plan.on("replace", before=visits.changing(key, **{f"key{number}": number}))
        await ours.save()
        assert visits.plan.done()
        assert await visits.data(key) == {"ours": True, **{f"key{number}": number for number in range(4)}}

    async def test_save_that_is_always_overtaken_is_a_conflict(
        self, visits: Visits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repository, "SWAP_ATTEMPTS", 3)
        key = await visits.store(count=0)
        ours = await visits.load(key)
        await ours.set("ours", True)

        async def overtake() -> None:
            await visits.change(key, count=(await visits.payload(key)).hex())

        visits.plan.on("replace", before=overtake, times=10)
        with pytest.raises(SessionConflict, match="'default' was changed by others too often"):
            await ours.save()
        assert "ours" not in (await visits.data(key) or {})

    async def test_save_after_a_merge_goes_on_from_there(self, visits: Visits) -> None:
        key = await visits.store()
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.changing(key, b=2))
        await ours.save()
        visits.plan.calls.clear()
        await ours.pop("b")
        await ours.save()
        assert visits.plan.calls == ["replace"]
        assert await visits.data(key) == {"a": 1}

    async def test_change_while_a_merge_is_written_is_kept(self, visits: Visits) -> None:
        # By another task of the same request.
        key = await visits.store(a=0, gone=0)
        ours = await visits.load(key)
        await ours.set("a", 1)

        async def change() -> None:
            await ours.set("late", True)
            await ours.pop("gone")

        visits.plan.on("replace", before=visits.changing(key, b=1))
        visits.plan.on("replace", before=change)
        await ours.save()
        assert visits.plan.done()
        assert await ours.data() == {"a": 1, "b": 1, "late": True}
        await ours.save()
        assert await visits.data(key) == {"a": 1, "b": 1, "late": True}

    # clear()

    @pytest.mark.parametrize("overtaken", [False, True])
    @pytest.mark.parametrize("loaded", [False, True])
    async def test_clear_replaces_everything(self, visits: Visits, loaded: bool, overtaken: bool) -> None:
        key = await visits.store(a=0, b=0)
        ours = await visits.load(key) if loaded else visits.open(key)
        ours.session.clear()
        await ours.set("c", 1)
        if overtaken:
            visits.plan.on("replace", before=visits.changing(key, d=2, a=3))
        await ours.save()
        assert visits.plan.done()
        assert ours.key == key
        assert await visits.data(key) == {"c": 1}

    async def test_clear_of_a_session_that_ended_does_not_bring_it_back(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = visits.open(key)
        ours.session.clear()
        await visits.open(key).flush()
        with pytest.raises(UpdateError):
            await ours.save()
        assert await visits.data(key) is None

    # Nested values

    @pytest.mark.parametrize("modified", [False, True])
    async def test_nested_change_is_saved(self, visits: Visits, modified: bool) -> None:
        key = await visits.store(cart={"items": [1]}, other=0)
        ours = await visits.load(key)
        (await ours.get("cart"))["items"].append(2)
        ours.session.modified = modified
        visits.plan.on("replace", before=visits.changing(key, other=1))
        await ours.save()
        assert await visits.data(key) == {"cart": {"items": [1, 2]}, "other": 1}

    # Logout

    async def test_flush_in_the_middle_of_a_save_ends_the_session(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.flushing(key))
        with pytest.raises(UpdateError):
            await ours.save()
        assert visits.plan.done()
        assert await visits.data(key) is None

    async def test_flush_in_the_middle_of_a_merge_ends_the_session(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.changing(key, b=1))
        visits.plan.on("replace", before=visits.flushing(key))
        with pytest.raises(UpdateError):
            await ours.save()
        assert visits.plan.done()
        assert await visits.data(key) is None

    @pytest.mark.parametrize("how", ["flush", "cycle_key"])
    async def test_second_load_of_a_session_that_has_ended_does_not_bring_it_back(
        self, visits: Visits, how: str
    ) -> None:
        # As by two threads that look at once.
        key = await visits.store(a=0)
        ours, theirs = await visits.load(key), await visits.load(key)
        await getattr(theirs, how)()
        assert await ours.load() == {}
        await ours.set("a", 1)
        with pytest.raises(SessionEnded):
            await ours.save()
        assert await visits.data(key) is None
        assert ours.key == key

    async def test_flush_before_a_save_that_changes_nothing_is_told(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await visits.open(key).flush()
        with pytest.raises(SessionEnded):
            await ours.save()
        assert await visits.data(key) is None

    async def test_flush_before_a_save_that_changes_nothing_is_no_error_where_the_response_commits(
        self, visits: Visits
    ) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.set("a", 0)
        await visits.open(key).flush()
        visits.plan.calls.clear()
        await ours.save()
        assert (visits.plan.calls, ours.session.life.written) == ([], False)
