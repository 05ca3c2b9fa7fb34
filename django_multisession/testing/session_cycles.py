"""Changes of key while other requests use the session: one record lives on, with the changes of all."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.test import override_settings

from ..exceptions import SessionTooLarge, StoreUnavailable
from ..sessions.exceptions import SessionConflict, SessionEnded
from .session_merges import ALICE, BOB
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

    # A logout is final.

    @pytest.mark.parametrize("moment", ["delete", "second delete"])
    async def test_logout_that_is_overtaken_by_a_cycle_key_ends_the_new_key(self, visits: Visits, moment: str) -> None:
        key = await visits.store(a=0)
        ours, theirs = await visits.load(key), await visits.load(key)
        if moment == "second delete":
            visits.plan.on("delete", before=visits.changing(key, b=1))
        visits.plan.on("delete", before=theirs.cycle_key)
        await ours.flush()
        assert visits.plan.done()
        assert theirs.key != key
        assert [await visits.data(dead) for dead in (key, theirs.key)] == [None, None]

    async def test_logout_that_is_overtaken_by_two_cycle_keys_ends_the_last_key(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours, theirs, others = await visits.load(key), await visits.load(key), visits.open()

        async def cycle() -> None:
            await theirs.cycle_key()
            others.session._session_key = theirs.key

        visits.plan.on("delete", before=cycle)
        visits.plan.on("delete", before=others.cycle_key)
        await ours.flush()
        assert visits.plan.done()
        assert len({key, theirs.key, others.key}) == 3
        assert [await visits.data(dead) for dead in (key, theirs.key, others.key)] == [None, None, None]

    async def test_logout_with_the_old_key_ends_the_new_key(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        theirs = await visits.load(key)
        await theirs.cycle_key()
        await visits.open(key).flush()
        assert await visits.data(theirs.key) is None

    @pytest.mark.parametrize("moment", ["insert", "replace"])
    async def test_cycle_key_of_a_session_that_is_logged_out_meanwhile_ends_itself(
        self, visits: Visits, moment: str
    ) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        created: list[str] = []

        async def note() -> None:
            created.append(ours.key)

        visits.plan.on("insert", before=visits.flushing(key) if moment == "insert" else None, after=note)
        if moment == "replace":
            visits.plan.on("replace", before=visits.flushing(key))
        await ours.cycle_key()
        with pytest.raises(SessionEnded):
            await ours.answer()
        assert visits.plan.done()
        assert [await visits.data(dead) for dead in (key, *created)] == [None, None]

    async def test_cycle_key_of_a_session_that_is_logged_out_after_its_pointer_ends_as_well(
        self, visits: Visits
    ) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        visits.plan.on("replace", after=visits.flushing(key))
        assert await ours.answer() == ours.key != key
        assert visits.plan.done()
        assert await visits.data(ours.key) is None

    # The response is the commit.

    async def test_cycle_key_before_the_response_leaves_the_old_key_as_it_is(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        await ours.set("a", 1)
        assert await visits.data(key) == {"a": 0}
        assert await ours.answer() == ours.key != key
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"a": 1}

    async def test_cycle_key_that_is_abandoned_leaves_all_as_it_was(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        created = ours.key
        await ours.abandon()
        assert ours.key == key
        assert await visits.data(key) == {"a": 0}
        assert await visits.data(created) is None

    async def test_login_after_an_abandoned_one_counts_as_a_new_one(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        await ours.update(ALICE)
        await ours.save()
        await ours.abandon()
        await ours.save()
        assert (await visits.header(key)).authenticated_at

    async def test_cookie_after_an_abandoned_cycle_key_is_sent_for_no_write_of_the_new_key(
        self, visits: Visits
    ) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        await ours.abandon()
        ours.session.modified = True  # set to the value it had
        assert await ours.answer() is None

    @pytest.mark.parametrize("how", ["abandoned", "failed"])
    async def test_cleared_session_whose_cycle_key_comes_to_nothing_still_replaces_everything(
        self, visits: Visits, how: str
    ) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        ours.session.clear()
        await ours.set("b", 1)
        if how == "failed":
            visits.plan.on("insert", lose="command", times=10)
            with pytest.raises(StoreUnavailable):
                await ours.cycle_key()
            visits.plan.forget()
        else:
            await ours.cycle_key()
            await ours.abandon()
        await visits.change(key, c=2)
        assert ours.key == key
        await ours.save()
        assert await visits.data(key) == {"b": 1}

    async def test_cycle_key_twice_in_a_request_leaves_one_session(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        first = ours.key
        await ours.cycle_key()
        assert await ours.answer() == ours.key
        assert [await visits.data(dead) for dead in (key, first)] == [None, None]
        assert await visits.data(ours.key) == {"a": 0}

    @pytest.mark.parametrize("operation", ["insert", "replace", "pointer"])
    async def test_cycle_key_whose_store_dies_on_the_way_leaves_a_session(self, visits: Visits, operation: str) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key, commits_with_response=True)
        if operation == "insert":
            visits.plan.on("insert", lose="command", times=10)
        if operation == "pointer":
            visits.plan.on("replace")
        for lost in ("replace", "delete", "read", "exists"):
            visits.plan.on(lost, lose="command", times=10)
        sent = None
        try:
            await ours.cycle_key()
            await ours.set("a", 1)
            sent = await ours.answer()
        except StoreUnavailable:
            pass
        visits.plan.forget()
        assert (sent is not None) is (operation == "pointer")
        assert await visits.data(sent or key) == ({"a": 1} if sent else {"a": 0})

    @pytest.mark.parametrize("how", ["delete", "set_expiry"])
    async def test_delete_after_a_cycle_key_ends_the_old_key_too(self, visits: Visits, how: str) -> None:
        key = await visits.store(**ALICE)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        created = ours.key
        if how == "delete":
            await ours.delete()
            with pytest.raises(SessionEnded):
                await ours.answer()
        else:
            await ours.set_expiry(-5)
            await ours.answer()
        assert [await visits.data(dead) for dead in (key, created)] == [None, None]

    @pytest.mark.parametrize("before", [{}, {**ALICE, "_auth_user_hash": "of the old password"}])
    async def test_login_takes_along_what_they_write_meanwhile(self, visits: Visits, before: dict[str, str]) -> None:
        key = await visits.store(cart=[], **before)
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        await ours.update(ALICE)
        visits.plan.on("replace")  # the save; what follows is the pointer
        visits.plan.on("replace", before=visits.changing(key, cart=["book"]))
        assert await ours.answer() == ours.key
        assert visits.plan.done()
        assert await visits.data(key) is None
        assert await visits.data(ours.key) == {"cart": ["book"], **ALICE}

    async def test_login_is_a_conflict_where_they_change_a_guarded_key(
        self, visits: Visits, configure: Callable[..., None]
    ) -> None:
        configure(GUARD=["otp"])
        key = await visits.store()
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        await ours.update(ALICE)
        await visits.change(key, otp=True)
        with pytest.raises(SessionConflict, match="guarded"):
            await ours.answer()
        assert await visits.data(key) == {"otp": True}

    async def test_request_that_lost_goes_on_under_the_key_that_won_where_user_and_hash_agree(
        self, visits: Visits
    ) -> None:
        key = await visits.store(cart=[1])
        ours, theirs = [await visits.load(key, commits_with_response=True) for _ in range(2)]
        for visit, name in ((ours, "ours"), (theirs, "theirs")):
            await visit.cycle_key()
            await visit.update({**ALICE, name: True})
        lost = ours.key
        assert await theirs.answer() == theirs.key
        assert await ours.answer() == ours.key == theirs.key
        assert [await visits.data(dead) for dead in (key, lost)] == [None, None]
        assert await visits.data(ours.key) == {"cart": [1], **ALICE, "ours": True, "theirs": True}

    @pytest.mark.parametrize("theirs_are", [BOB, {**ALICE, "_auth_user_hash": "another"}, {}])
    async def test_request_that_lost_gets_no_key_of_another_login(
        self, visits: Visits, theirs_are: dict[str, str]
    ) -> None:
        key = await visits.store(cart=[1])
        ours, theirs = [await visits.load(key, commits_with_response=True) for _ in range(2)]
        await ours.cycle_key()
        lost = ours.key
        await ours.update(ALICE)
        await theirs.cycle_key()
        await theirs.update({**theirs_are, "theirs": True})
        assert await theirs.answer() == theirs.key
        with pytest.raises(SessionEnded):
            await ours.answer()
        assert await visits.data(lost) is None
        assert await visits.data(theirs.key) == {"cart": [1], **theirs_are, "theirs": True}

    async def test_change_without_a_user_is_not_taken_to_a_new_key(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours, theirs = [await visits.load(key, commits_with_response=True) for _ in range(2)]
        await theirs.cycle_key()
        await theirs.answer()
        await ours.set("a", 1)
        with pytest.raises(SessionEnded):
            await ours.answer()
        assert await visits.data(theirs.key) == {"a": 0}

    # Who comes late, with the old key.

    @pytest.mark.parametrize("every", [False, True])
    async def test_request_that_comes_after_the_pointer_is_nobody_and_keeps_the_cookie(
        self, visits: Visits, every: bool
    ) -> None:
        key = await visits.store(**ALICE)
        theirs = await visits.load(key, commits_with_response=True)
        await theirs.cycle_key()
        await theirs.answer()
        with override_settings(SESSION_SAVE_EVERY_REQUEST=every):
            ours = await visits.load(key, commits_with_response=True)
            assert (await ours.data(), ours.key) == ({}, None)
            assert not ours.session.is_empty()  # which would delete the cookie
            assert await ours.answer() is None
            await ours.set("a", 1)
            with pytest.raises(SessionEnded):
                await ours.answer()
        assert await visits.data(theirs.key) == ALICE

    async def test_login_that_comes_after_the_pointer_joins_the_session_of_the_same_user(self, visits: Visits) -> None:
        key = await visits.store(cart=[1])
        theirs = await visits.load(key, commits_with_response=True)
        await theirs.cycle_key()
        await theirs.update(ALICE)
        await theirs.answer()
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        lost = ours.key
        await ours.update({**ALICE, "ours": True})
        assert await ours.answer() == ours.key == theirs.key
        assert await visits.data(lost) is None
        assert await visits.data(ours.key) == {"cart": [1], **ALICE, "ours": True}

    async def test_login_that_comes_after_the_pointer_stands_by_itself_where_it_is_another(
        self, visits: Visits
    ) -> None:
        key = await visits.store(cart=[1])
        theirs = await visits.load(key, commits_with_response=True)
        await theirs.cycle_key()
        await theirs.update(BOB)
        await theirs.answer()
        ours = await visits.load(key, commits_with_response=True)
        await ours.cycle_key()
        await ours.update(ALICE)
        assert await ours.answer() == ours.key
        assert await visits.data(ours.key) == ALICE
        assert await visits.data(theirs.key) == {"cart": [1], **BOB}

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
