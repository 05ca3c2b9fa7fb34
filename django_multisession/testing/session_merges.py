"""Merges: guarded keys are never mixed, and keys with a rule are merged by it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from ..sessions.exceptions import SessionConflict
from .visits import Visits, in_both_colours

Configure = Callable[..., None]

ALICE = {"_auth_user_id": "1", "_auth_user_backend": "backend", "_auth_user_hash": "hash of 1"}
BOB = {"_auth_user_id": "2", "_auth_user_backend": "backend", "_auth_user_hash": "hash of 2"}
CONFLICT = "'default' cannot be merged: .*"


def longest(base: Any, theirs: Any, ours: Any) -> Any:
    """A rule to be named by its dotted path."""
    return max(theirs, ours, key=len)


@in_both_colours
class Identities:
    async def test_login_as_another_user_in_the_middle_of_a_save_is_a_conflict(self, visits: Visits) -> None:
        key = await visits.store(**ALICE)
        ours = await visits.load(key)
        await ours.set("cart", ["of 1"])
        visits.plan.on("replace", before=visits.changing(key, **BOB))
        with pytest.raises(SessionConflict, match=CONFLICT + "changed hands") as caught:
            await ours.save()
        assert key not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        assert await visits.data(key) == BOB

    async def test_login_while_they_write_is_a_conflict(self, visits: Visits) -> None:
        key = await visits.store(cart=[])
        ours = await visits.load(key)
        for name, value in ALICE.items():
            await ours.set(name, value)
        visits.plan.on("replace", before=visits.changing(key, cart=["of nobody"]))
        with pytest.raises(SessionConflict, match=CONFLICT + "changed hands"):
            await ours.save()
        assert await visits.data(key) == {"cart": ["of nobody"]}

    async def test_login_as_another_user_in_the_middle_of_a_cycle_key_is_a_conflict(self, visits: Visits) -> None:
        key = await visits.store()
        ours = await visits.load(key)
        for name, value in ALICE.items():
            await ours.set(name, value)
        created = []

        async def login() -> None:
            created.append(ours.key)
            await visits.change(key, **BOB)

        visits.plan.on("replace", before=login)
        with pytest.raises(SessionConflict):
            await ours.cycle_key()
        assert await visits.data(key) == BOB
        assert await visits.data(created[0]) is None

    async def test_logout_in_the_middle_of_a_save_ends_the_session(self, visits: Visits) -> None:
        key = await visits.store(**ALICE)
        ours = await visits.load(key)
        await ours.set("cart", ["of 1"])
        visits.plan.on("replace", before=visits.flushing(key))
        with pytest.raises(UpdateError):
            await ours.save()
        assert await visits.data(key) is None

    async def test_the_same_login_on_both_sides_merges(self, visits: Visits) -> None:
        key = await visits.store()
        ours = await visits.load(key)
        for name, value in {**ALICE, "ours": 1}.items():
            await ours.set(name, value)
        visits.plan.on("replace", before=visits.changing(key, **ALICE, theirs=2))
        await ours.save()
        assert await visits.data(key) == {**ALICE, "ours": 1, "theirs": 2}

    async def test_two_password_changes_are_a_conflict(self, visits: Visits) -> None:
        key = await visits.store(**ALICE)
        ours = await visits.load(key)
        await ours.set("_auth_user_hash", "ours")
        visits.plan.on("replace", before=visits.changing(key, _auth_user_hash="theirs"))
        with pytest.raises(SessionConflict, match=CONFLICT + "guarded keys: '_auth_user_hash'"):
            await ours.save()
        assert await visits.data(key) == {**ALICE, "_auth_user_hash": "theirs"}

    @pytest.mark.parametrize("guarded", [False, True])
    async def test_pending_user_and_passed_second_factor_conflict_where_guarded(
        self, visits: Visits, configure: Configure, guarded: bool
    ) -> None:
        configure(GUARD=["pending_user", "second_factor"] if guarded else [])
        key = await visits.store(pending_user=1)
        ours = await visits.load(key)
        await ours.set("pending_user", 2)
        visits.plan.on("replace", before=visits.changing(key, second_factor=True))
        if guarded:
            with pytest.raises(SessionConflict, match=CONFLICT + "'pending_user', 'second_factor'"):
                await ours.save()
            assert await visits.data(key) == {"pending_user": 1, "second_factor": True}
        else:
            await ours.save()
            assert await visits.data(key) == {"pending_user": 2, "second_factor": True}


@in_both_colours
class Merging:
    @pytest.mark.parametrize(
        ("rule", "base", "theirs", "ours", "merged"),
        [
            ("append", [0], [0, 1], [0, 2], [0, 1, 2]),
            ("append", None, [1], [2], [1, 2]),
            ("append", [0, 5], [0, 5, 1], [0], [0, 1]),
            ("counter", 10, 13, 12, 15),
            ("counter", None, 1, 1, 2),
            ("union", [0], [0, 1, 2], [0, 2, 3], [0, 1, 2, 3]),
            ("union", [0, 1], [1, 2], [0, 3], [2, 3]),
            (f"{__name__}.longest", "", "theirs", "ours", "theirs"),
            (longest, "", "their", "ours, longer", "ours, longer"),
        ],
    )
    async def test_merge_follows_the_rule_of_a_key(
        self, *, visits: Visits, configure: Configure, rule: Any, base: Any, theirs: Any, ours: Any, merged: Any
    ) -> None:
        configure(MERGE={"ruled": rule})
        key = await visits.store(**({} if base is None else {"ruled": base}))
        visit = await visits.load(key)
        await visit.set("ruled", ours)
        visits.plan.on("replace", before=visits.changing(key, ruled=theirs))
        await visit.save()
        assert await visits.data(key) == await visit.data() == {"ruled": merged}

    async def test_merge_in_a_cycle_key_follows_the_rule(self, visits: Visits, configure: Configure) -> None:
        configure(MERGE={"count": "counter"})
        key = await visits.store(count=0)
        ours = await visits.load(key)
        await ours.set("count", 1)
        # The pointer, what was merged, and the pointer again.
        visits.plan.on("replace", before=visits.changing(key, count=1))
        visits.plan.on("replace")
        visits.plan.on("replace", before=visits.changing(key, count=2))
        await ours.cycle_key()
        assert visits.plan.done()
        assert await visits.data(ours.key) == {"count": 3}

    async def test_merge_of_values_that_do_not_fit_their_rule_is_a_conflict(
        self, visits: Visits, configure: Configure
    ) -> None:
        configure(MERGE={"count": "counter"})
        key = await visits.store(count=0)
        ours = await visits.load(key)
        await ours.set("count", "many")
        visits.plan.on("replace", before=visits.changing(key, count=1))
        with pytest.raises(SessionConflict, match="the rule for 'count' does not fit"):
            await ours.save()
        assert await visits.data(key) == {"count": 1}

    @pytest.mark.parametrize("look", ["get", "data"])
    async def test_strict_is_a_conflict_if_what_was_read_has_changed(
        self, visits: Visits, configure: Configure, look: str
    ) -> None:
        configure(ON_CONFLICT="strict")
        key = await visits.store(price=1, order=None)
        ours = visits.open(key)
        await (ours.get("price") if look == "get" else ours.data())
        await ours.set("order", "at 1")
        visits.plan.on("replace", before=visits.changing(key, price=2))
        with pytest.raises(SessionConflict, match="keys that were read have changed: 'price'"):
            await ours.save()
        assert await visits.data(key) == {"price": 2, "order": None}

    async def test_strict_merges_what_was_not_read(self, visits: Visits, configure: Configure) -> None:
        configure(ON_CONFLICT="strict")
        key = await visits.store(price=1, order=None)
        ours = visits.open(key)
        await ours.set("order", 1)
        visits.plan.on("replace", before=visits.changing(key, price=2))
        await ours.save()
        assert await visits.data(key) == {"price": 2, "order": 1}

    async def test_keys_of_several_types_merge(self, visits: Visits, configure: Configure) -> None:
        configure(SERIALIZER="django_multisession.serializers.TypedSerializer")
        key = await visits.store(a=0)
        ours = await visits.load(key)
        mixed: Any = ours
        await mixed.set(1, "one")
        await ours.set("b", 1)
        visits.plan.on("replace", before=visits.changing(key, a=2, c=2))
        await ours.save()
        found: Any = await visits.data(key)
        assert found == {"a": 2, "b": 1, "c": 2, 1: "one"}

    async def test_overwrite_leaves_ours_alone(self, visits: Visits, configure: Configure) -> None:
        configure(ON_CONFLICT="overwrite")
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        visits.plan.on("replace", before=visits.changing(key, b=2))
        await ours.save()
        assert await visits.data(key) == {"a": 1}

    async def test_overwrite_does_not_mix_identities(self, visits: Visits, configure: Configure) -> None:
        configure(ON_CONFLICT="overwrite")
        key = await visits.store(**ALICE)
        ours = await visits.load(key)
        await ours.set("cart", ["of 1"])
        visits.plan.on("replace", before=visits.changing(key, **BOB))
        with pytest.raises(SessionConflict):
            await ours.save()
        assert await visits.data(key) == BOB

    @pytest.mark.parametrize("key", ["_flash", "of_its_own"])
    async def test_flashes_of_requests_at_the_same_time_are_all_kept(self, visits: Visits, key: str) -> None:
        session = await visits.store()
        ours = await visits.load(session)
        theirs = await visits.load(session)
        await theirs.add_flash("theirs", key)
        await theirs.save()
        await ours.add_flash("ours", key)
        await ours.save()
        reader = await visits.load(session)
        assert await reader.flashes(key) == ["theirs", "ours"]
        await reader.save()
        assert await visits.data(session) == {}

    async def test_overwrite_brings_no_guarded_key_back(self, visits: Visits, configure: Configure) -> None:
        configure(ON_CONFLICT="overwrite", GUARD=["sudo"])
        key = await visits.store(sudo=True, a=0, b=0)
        ours = await visits.load(key)
        await ours.set("a", 1)
        theirs = await visits.load(key)
        await theirs.pop("sudo")
        await theirs.set("b", 1)
        await theirs.save()
        await ours.save()
        assert await visits.data(key) == {"a": 1, "b": 0}

    async def test_load_of_a_session_in_use_moves_no_base(self, visits: Visits) -> None:
        key = await visits.store(a=0)
        ours = await visits.load(key)
        await ours.set("c", 1)
        await visits.change(key, a=2, b=2)
        await ours.load()
        await ours.save()
        assert await visits.data(key) == {"a": 2, "b": 2, "c": 1}
