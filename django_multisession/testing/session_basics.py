"""The parts of Django's session contract that an engine could break, and the two colours used together."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation

from ..bridge import pause, running_loop
from ..exceptions import SessionNotSerializable, SessionTooLarge, StoreUnavailable
from .drive import Drive
from .visits import Observed, Visits, in_both_colours

Configure = Callable[..., None]


@in_both_colours
class Basics:
    async def test_save_without_data_yields_a_key(self, visits: Visits) -> None:
        visit = visits.open()
        await visit.save()
        assert visit.key is not None
        assert await visits.data(visit.key) == {}
        assert await visit.exists(visit.key)

    async def test_save_that_must_create_yields_a_key(self, visits: Visits) -> None:
        first, second = visits.open(), visits.open()
        for visit in (first, second):
            await visit.save(True)
            assert await visits.data(visit.key) == {}
        assert first.key != second.key

    async def test_session_key_is_what_django_makes(self, visits: Visits) -> None:
        key = await visits.store()
        assert len(key) == 32
        assert key.isascii()
        assert key.isalnum()
        assert key == key.lower()

    async def test_storage_key_does_not_hold_the_session_key(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        assert visits.storage_key(key) != key
        assert len(visits.storage_key(key)) == 40
        assert visits.storage_key(key) != visits.named("other").storage_key(key)

    async def test_sessions_of_two_names_are_apart(self, visits: Visits) -> None:
        others = visits.named("other")
        key, other = await visits.store(a=1), await others.store(a=2)
        assert await visits.data(key) == {"a": 1}
        assert await others.data(other) == {"a": 2}
        assert await visits.data(other) is await others.data(key) is None

    async def test_flush_ends_the_session(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        visit = await visits.load(key)
        await visit.flush()
        assert visit.key is None
        assert visit.session.is_empty()
        assert not await visit.exists(key)
        assert await visits.data(key) is None

    async def test_delete_of_another_session_leaves_ours(self, visits: Visits) -> None:
        key, other = await visits.store(a=1), await visits.store(a=2)
        visit = await visits.load(key)
        await visit.delete(other)
        assert await visits.data(other) is None
        await visit.set("a", 3)
        await visit.save()
        assert await visits.data(key) == {"a": 3}

    @pytest.mark.parametrize("operation", ["create", "cycle_key"])
    async def test_save_of_a_subclass_is_honoured(self, visits: Visits, operation: str) -> None:
        class Audited(visits.session_class):  # type: ignore[misc, name-defined]  # made for this test
            def save(self, must_create: bool = False) -> None:
                self["saved_by"] = "save"
                super().save(must_create)

            async def asave(self, must_create: bool = False) -> None:
                await self.aset("saved_by", "asave")
                await super().asave(must_create)

        audited = Visits(Audited, visits.drive)
        visit = await audited.load(await audited.store()) if operation == "cycle_key" else audited.open()
        await visit.set("saved_by", None)
        await getattr(visit, operation)()
        visits.opened += audited.opened
        expected = "asave" if _in_loop() else "save"
        assert await visits.data(visit.key) == {"saved_by": expected}

    @pytest.mark.parametrize("operation", ["create", "cycle_key", "save"])
    async def test_save_of_a_subclass_that_runs_a_loop_of_its_own_is_honoured(
        self, visits: Visits, operation: str
    ) -> None:
        class Audited(visits.session_class):  # type: ignore[misc, name-defined]  # made for this test
            def save(self, must_create: bool = False) -> None:
                self["saved_by"] = "save"
                asyncio.run(self.asave(must_create))

        key = await visits.store(a=1)
        audited = Visits(Audited, visits.drive)
        visit = audited.open() if operation == "create" else await audited.load(key)
        await visit.set("b", 2)
        await getattr(visit, operation)()
        visits.opened += audited.opened
        kept = {} if operation == "create" else {"a": 1}
        by = {} if _in_loop() else {"saved_by": "save"}
        assert await visits.data(visit.key) == {**kept, "b": 2, **by}

    # What cannot be kept.

    @pytest.mark.parametrize("value", [object(), {"deep": [1, object()]}, {1, 2}])
    async def test_value_that_is_not_serialisable_is_named(self, visits: Visits, value: Any) -> None:
        key = await visits.store(a=1)
        ours = await visits.load(key)
        await ours.set("a", 2)
        await ours.set("the_wrong_one", value)
        with pytest.raises(SessionNotSerializable, match=r"'default'.*'the_wrong_one'") as caught:
            await ours.save()
        assert key not in str(caught.value)
        assert await visits.data(key) == {"a": 1}
        await ours.pop("the_wrong_one")
        await ours.save()
        assert await visits.data(key) == {"a": 2}

    async def test_value_that_contains_itself_is_named(self, visits: Visits) -> None:
        ours = visits.open()
        value: list[Any] = []
        value.append(value)
        await ours.set("the_wrong_one", value)
        with pytest.raises(SessionNotSerializable, match="'the_wrong_one'"):
            await ours.save()
        assert ours.key is None

    @pytest.mark.parametrize("operation", ["save", "cycle_key"])
    async def test_session_too_large_names_keys_and_sizes(self, visits: Visits, operation: str) -> None:
        key = await visits.store(a=1)
        visits.plan.max_payload = 2000
        ours = await visits.load(key)
        await ours.set("small", "s" * 100)
        await ours.set("large", "l" * 3000)
        with pytest.raises(SessionTooLarge, match=r"'default' takes 3\d\d\d bytes.* 2000.*'large' \(30\d\d bytes\)"):
            await getattr(ours, operation)()
        assert ours.key == key
        assert await visits.data(key) == {"a": 1}
        await ours.pop("large")
        await ours.save()
        assert await visits.data(key) == {"a": 1, "small": "s" * 100}

    async def test_session_too_large_to_create_has_no_key(self, visits: Visits) -> None:
        visits.plan.max_payload = 2000
        ours = visits.open()
        await ours.set("large", "l" * 3000)
        with pytest.raises(SessionTooLarge, match="'large'"):
            await ours.save()
        assert ours.key is None

    async def test_clear_expired_leaves_the_living(self, visits: Visits) -> None:
        key = await visits.store(a=1)
        await visits.open().clear_expired()
        assert await visits.data(key) == {"a": 1}

    async def test_first_look_takes_what_a_save_will_compare_with(self, visits: Visits) -> None:
        """And not what was written since somebody else has looked, who has only begun to show it."""
        key = await visits.store(a=1)
        visit = visits.open(key)
        await visit.load()
        await visits.change(key, a=2)
        assert await visit.data() == {"a": 1}
        await visits.change(key, a=3)
        await visit.set("b", 1)
        await visit.save()
        assert await visits.data(key) == {"a": 3, "b": 1}


class Colours:
    """Both colours in one test each."""

    def leave_thread(self) -> None:
        """See SessionContract."""

    def test_each_colour_sees_what_the_other_wrote(self, session_class: type[Observed]) -> None:
        written = session_class()
        written["a"] = 1
        written.save()

        async def change() -> None:
            session = session_class(written.session_key)
            assert await session.aget("a") == 1
            await session.aset("b", 2)
            await session.asave()

        asyncio.run(change())
        assert dict(session_class(written.session_key).items()) == {"a": 1, "b": 2}

    def test_each_colour_merges_what_the_other_wrote(self, session_class: type[Observed]) -> None:
        session = session_class()
        session["a"] = session["b"] = 0
        session.save()

        async def change() -> None:
            theirs = session_class(session.session_key)
            await theirs.aset("b", 2)
            await theirs.asave()

        session["a"] = 1
        asyncio.run(change())
        session.save()
        assert dict(session_class(session.session_key).items()) == {"a": 1, "b": 2}

    @pytest.mark.parametrize("method", ["load", "save", "create", "cycle_key", "flush"])
    def test_synchronous_io_in_an_event_loop_is_refused(self, session_class: type[Observed], method: str) -> None:
        if session_class.records().store.local:
            pytest.skip("This store does no I/O.")
        key = _saved(session_class)

        async def use() -> None:
            session = session_class(key)
            await session.aget("a")
            await session.aset("a", 2)
            getattr(session, method)()

        with pytest.raises(SynchronousOnlyOperation):
            asyncio.run(use())
        assert session_class(key)["a"] == 1

    def test_lazy_synchronous_load_in_an_event_loop_is_refused(self, session_class: type[Observed]) -> None:
        if session_class.records().store.local:
            pytest.skip("This store does no I/O.")
        key = _saved(session_class)

        async def use() -> None:
            session_class(key)["a"]

        with pytest.raises(SynchronousOnlyOperation):
            asyncio.run(use())

    # Tasks and threads of one request.

    @pytest.mark.parametrize("how_many", [2, 6])
    def test_first_looks_at_the_same_time_share_one_load(
        self, visits: Visits, drive: Drive, session_class: type[Observed], how_many: int
    ) -> None:
        visit = visits.open(_saved(session_class))
        visits.plan.calls.clear()
        visits.plan.on("read", after=lambda: pause(0.05))
        drive.together([partial(visit.set, f"key{number}", number) for number in range(how_many)])
        assert visits.plan.calls == ["read"]
        expected = {"a": 1, **{f"key{number}": number for number in range(how_many)}}
        assert drive(visit.data()) == expected
        drive(visit.save())
        assert drive(visits.data(visit.key)) == expected

    def test_saves_at_the_same_time_apply_a_rule_once(
        self, visits: Visits, drive: Drive, configure: Callable[..., None]
    ) -> None:
        configure(MERGE={"count": "counter"})
        visit = visits.open()
        drive(visit.set("count", 1))
        drive(visit.save())
        drive(visit.set("count", 2))
        visits.plan.on("replace", after=lambda: pause(0.05))
        drive.together([visit.save, visit.save])
        assert drive(visits.data(visit.key)) == {"count": 2}

    @pytest.mark.parametrize("retryable", [False, True])
    def test_first_look_that_meets_an_outage_hands_the_load_to_the_next(
        self, visits: Visits, drive: Drive, session_class: type[Observed], retryable: bool
    ) -> None:
        async def look() -> bool:
            try:
                await visit.set("b", 2)
            except StoreUnavailable:
                return False
            return True

        visit = visits.open(_saved(session_class))
        visits.plan.on("read", before=lambda: pause(0.05), lose="command", retryable=retryable)
        assert sorted(drive.together([look, look])) == [retryable, True]
        assert drive(visit.data()) == {"a": 1, "b": 2}

    def test_cancelled_first_look_hands_the_load_to_the_next(self, session_class: type[Observed]) -> None:
        key = _saved(session_class)

        async def use() -> None:
            session, started, never = session_class(key), asyncio.Event(), asyncio.Event()

            async def hang() -> None:
                started.set()
                await never.wait()

            session_class.plan.calls.clear()
            session_class.plan.on("read", before=hang)
            leader = asyncio.create_task(session.aset("of_the_leader", 1))
            await started.wait()
            next_one = asyncio.create_task(session.aset("b", 2))
            await asyncio.sleep(0)
            leader.cancel()
            await next_one
            assert dict(await session.aitems()) == {"a": 1, "b": 2}
            assert leader.cancelled()
            assert session_class.plan.calls == ["read", "read"]

        asyncio.run(use())

    def test_first_looks_of_both_colours_at_once_share_the_data(self, session_class: type[Observed]) -> None:
        if session_class.records().store.local:
            pytest.skip("This store does no I/O.")
        key = _saved(session_class)

        async def use() -> None:
            session = session_class(key)

            def look() -> None:
                session["of_the_thread"] = 1
                self.leave_thread()

            # The task's load begins first and ends last.
            session_class.plan.on("read", after=lambda: asyncio.to_thread(look))
            await session.aset("of_the_task", 2)
            assert dict(await session.aitems()) == {"a": 1, "of_the_thread": 1, "of_the_task": 2}

        asyncio.run(use())

    def test_first_look_of_a_task_that_ends_before_the_one_of_a_thread_shares_the_data(
        self, session_class: type[Observed]
    ) -> None:
        if session_class.records().store.local:
            pytest.skip("This store does no I/O.")
        session = session_class(_saved(session_class))

        async def look() -> None:
            await session.aset("of_the_task", 2)

        # The thread's load begins first and ends last.
        session_class.plan.on("read", after=lambda: _in_a_loop_of_its_own(look))
        session["of_the_thread"] = 1
        assert dict(session.items()) == {"a": 1, "of_the_thread": 1, "of_the_task": 2}
        session.save()
        assert dict(session_class(session.session_key).items()) == dict(session.items())

    def test_loaded_data_can_be_read_in_an_event_loop(self, session_class: type[Observed]) -> None:
        key = _saved(session_class)

        async def use() -> None:
            session = session_class(key)
            await session.aget("a")
            assert session["a"] == 1
            assert session.get("b") is None
            session["b"] = 2
            assert not session.is_empty()
            session.clear()

        asyncio.run(use())


def _saved(session_class: type[Observed]) -> str:
    session = session_class()
    session["a"] = 1
    session.save()
    return str(session.session_key)


async def _in_a_loop_of_its_own(body: Callable[[], Any]) -> None:
    """Run a body in an event loop on another thread, to its end."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(body())).result()


def _in_loop() -> bool:
    return running_loop() is not None
