"""The three-way merge: what two requests changed in one session."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from django_multisession.conf import GUARDED
from django_multisession.merge import MergeConflict, Rule, append, append_messages, counter, merge, union

ALICE = {"_auth_user_id": "1", "_auth_user_backend": "b", "_auth_user_hash": "h"}
BOB = {"_auth_user_id": "2", "_auth_user_backend": "b", "_auth_user_hash": "g"}


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "merged"),
    [
        ({}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 0}, {"a": 1}, {"a": 0}, {"a": 1}),
        ({"a": 0}, {"a": 0}, {"a": 1}, {"a": 1}),
        ({"a": 0}, {}, {"a": 0, "b": 1}, {"b": 1}),
        ({"a": 0}, {"a": 0, "b": 1}, {}, {"b": 1}),
        ({"a": 0}, {}, {}, {}),
        ({"a": None}, {"a": None, "b": 1}, {}, {"b": 1}),
    ],
)
def test_merge_keeps_changes_to_different_keys(base: Any, theirs: Any, ours: Any, merged: Any) -> None:
    found = merge(base, theirs, ours)
    assert found.data == merged
    assert found.overwritten == ()


@pytest.mark.parametrize(
    ("base", "theirs", "ours"),
    [({"a": 0}, {"a": 1}, {"a": 2}), ({"a": 0}, {}, {"a": 2}), ({"a": 0}, {"a": 1}, {})],
)
def test_merge_of_one_key_takes_ours_and_counts_it(base: Any, theirs: Any, ours: Any) -> None:
    found = merge(base, theirs, ours)
    assert found.data == ours
    assert found.overwritten == ("a",)


def test_merge_counts_what_it_overwrites_in_order() -> None:
    assert merge({"b": 0, "a": 0}, {"b": 1, "a": 1}, {"b": 2, "a": 2}).overwritten == ("a", "b")


def test_merge_of_one_key_to_the_same_value_overwrites_nothing() -> None:
    assert merge({}, {"a": 1}, {"a": 1}).overwritten == ()


def test_merge_changes_none_of_its_arguments() -> None:
    base, theirs, ours = {"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]}
    assert merge(base, theirs, ours, rules={"a": append}).data == {"a": [1, 2, 3]}
    assert (base, theirs, ours) == ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]})


def test_merge_compares_as_it_is_told() -> None:
    def same(one: Any, other: Any) -> bool:
        return type(one) is type(other) and one == other

    assert merge({"a": 1}, {"a": True}, {"a": 1}, same=same).data["a"] is True


def test_merge_compares_nothing_with_what_is_not_there() -> None:
    def same(one: Any, other: Any) -> bool:
        return bool(one + other == 2 * one)  # a TypeError for anything but numbers

    assert merge({"a": 1, "b": 1}, {"a": 1}, {"b": 1, "c": 2}, same=same).data == {"c": 2}


class EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # nothing hashes a session's values


def test_merge_keeps_values_that_are_equal_to_everything() -> None:
    def same(one: Any, other: Any) -> bool:
        return type(one) is type(other)

    it, other, third = EqualToAll(), EqualToAll(), EqualToAll()
    merged = merge({"a": it}, {"a": other, "b": 1}, {"a": third, "c": it}, same=same)
    assert (list(merged.data), merged.overwritten) == (["a", "b", "c"], ())
    assert list(merge({"a": it}, {"b": 1}, {"a": it}, same=same).data) == ["b"]
    assert list(merge({"a": it}, {"a": it, "b": 1}, {}, same=same).data) == ["b"]


@pytest.mark.parametrize("rule", [append, union])
def test_list_that_both_have_emptied_is_an_empty_list(rule: Rule) -> None:
    assert rule([1], [], []) == []
    assert rule([1], [1], []) == []


def test_merge_of_a_key_that_is_unchanged_there_asks_no_rule() -> None:
    def refuse(base: Any, theirs: Any, ours: Any) -> Any:
        raise AssertionError("asked")

    assert merge({"a": 1}, {"a": 1, "b": 1}, {"a": 2}, rules={"a": refuse}).data == {"a": 2, "b": 1}


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_merge_whose_rule_refuses_the_values_is_a_conflict(error: type[Exception]) -> None:
    def refuse(base: Any, theirs: Any, ours: Any) -> Any:
        raise error

    with pytest.raises(MergeConflict, match="the rule for 'a' does not fit"):
        merge({"a": 1}, {"a": 2}, {"a": 3}, rules={"a": refuse})


@pytest.mark.parametrize("rotates", [True, False])
def test_merge_into_another_users_session_is_a_conflict(rotates: bool) -> None:
    with pytest.raises(MergeConflict, match="changed hands"):
        merge(ALICE, BOB, {**ALICE, "a": 1}, rotates=rotates)


# What must not be mixed.


@pytest.mark.parametrize(
    ("base", "theirs", "ours"),
    [
        ({}, ALICE, BOB),
        (ALICE, BOB, {}),
        (ALICE, {}, BOB),
        (ALICE, {}, {**ALICE, "cart": 1}),
        (ALICE, {**ALICE, "cart": 1}, {}),
        ({}, ALICE, {"cart": 1}),
        ({}, {"cart": 1}, ALICE),
        (ALICE, {**ALICE, "cart": 1}, BOB),
        (ALICE, {**ALICE, "_auth_user_hash": "x"}, {**ALICE, "_auth_user_hash": "y"}),
    ],
)
def test_merge_of_an_identity_that_changed_is_a_conflict(base: Any, theirs: Any, ours: Any) -> None:
    with pytest.raises(MergeConflict):
        merge(base, theirs, ours, guard=GUARDED)


def test_merge_of_an_identity_that_changed_alone_is_none() -> None:
    assert merge(ALICE, BOB, ALICE, guard=GUARDED).data == BOB
    assert merge(ALICE, ALICE, BOB, guard=GUARDED).data == BOB


def test_merge_of_a_new_password_keeps_other_changes() -> None:
    ours = {**ALICE, "_auth_user_hash": "new"}
    assert merge(ALICE, {**ALICE, "a": 1}, ours, guard=GUARDED).data == {**ours, "a": 1}


def test_merge_of_guarded_keys_is_all_or_nothing() -> None:
    guard = GUARDED | {"pending", "second_factor"}
    with pytest.raises(MergeConflict, match="'pending', 'second_factor'"):
        merge({"pending": 1}, {"pending": 2}, {"pending": 1, "second_factor": 1}, guard=guard)
    both = {"pending": 1, "second_factor": 1}
    assert merge({"pending": 1}, both, {**both, "a": 1}, guard=guard).data == {**both, "a": 1}


def test_merge_with_a_key_that_we_read_and_they_changed_is_a_conflict() -> None:
    with pytest.raises(MergeConflict, match="'stock'"):
        merge({"stock": 1}, {"stock": 0}, {"stock": 1, "order": 1}, read=["stock"])
    assert merge({"stock": 1}, {"stock": 1, "a": 1}, {"stock": 0}, read=["stock"]).data == {
        "stock": 0,
        "a": 1,
    }


def test_merge_with_a_rule_for_a_key_that_we_read_is_no_conflict() -> None:
    found = merge({"n": 1}, {"n": 2}, {"n": 2}, read=["n"], rules={"n": counter})
    assert found.data == {"n": 3}


def test_conflict_names_keys_but_no_values() -> None:
    with pytest.raises(MergeConflict) as caught:
        merge({}, {"k": "value-1"}, {"k": "value-2"}, guard=["k"])
    assert "'k'" in str(caught.value)
    assert "value" not in str(caught.value)


# Rules.


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "merged"),
    [
        ([], ["a"], ["b"], ["a", "b"]),
        (None, ["a"], ["b"], ["a", "b"]),
        (["x"], ["x", "a"], ["x", "b"], ["x", "a", "b"]),
        (["x"], ["x", "a"], ["b"], ["a", "b"]),
        (["x"], [], ["x", "b"], ["b"]),
        (["x"], None, ["x", "b"], ["b"]),
        (["x"], ["x", "a"], None, ["a"]),
        (["x"], None, None, None),
        (["x"], ["x", "x"], ["x", "x"], ["x", "x", "x"]),
        ([{"a": 1}], [{"a": 1}, {"b": 2}], [{"a": 1}, {"c": 3}], [{"a": 1}, {"b": 2}, {"c": 3}]),
        ((1,), (1, 2), (1, 3), (1, 2, 3)),
    ],
)
def test_append_keeps_what_both_appended(base: Any, theirs: Any, ours: Any, merged: Any) -> None:
    found = append(base, theirs, ours)
    assert found == merged
    assert type(found) is type(merged)


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "merged"),
    [
        ({1}, {1, 2}, {1, 3}, {1, 2, 3}),
        ({1}, {1, 2}, {3}, {2, 3}),
        ({1}, set(), {1, 3}, {3}),
        (None, {1}, {1}, {1}),
        (None, [1], [1, 2], [1, 2]),
        ({1}, None, None, None),
        ({1}, {1, 2}, None, {2}),
        (frozenset({1}), frozenset({1, 2}), frozenset({1, 3}), frozenset({1, 2, 3})),
    ],
)
def test_union_keeps_what_both_added(base: Any, theirs: Any, ours: Any, merged: Any) -> None:
    found = union(base, theirs, ours)
    assert found == merged
    assert type(found) is type(merged)


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "merged"),
    [(1, 3, 2, 4), (None, 1, 1, 2), (1, None, 3, 2), (1, 3, None, 2), (5, None, None, None)],
)
def test_counter_adds_both_up(base: Any, theirs: Any, ours: Any, merged: Any) -> None:
    assert counter(base, theirs, ours) == merged


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "merged"),
    [
        (None, ["x"], ["y"], ["x", "y"]),
        (["shown"], None, ["shown", "y"], ["y"]),
        (["shown"], ["shown", "x"], None, ["x"]),
        (["shown"], None, None, None),
    ],
)
def test_messages_are_those_that_both_added_and_nobody_has_shown(
    base: Any, theirs: Any, ours: Any, merged: Any
) -> None:
    found = append_messages(*(side and json.dumps(side) for side in (base, theirs, ours)))
    assert (found and json.loads(found)) == merged


def test_rule_that_returns_none_deletes_the_key() -> None:
    rules = {"a": lambda base, theirs, ours: None}
    assert merge({"a": 0}, {"a": 1}, {"a": 2}, rules=rules).data == {}


def test_rule_is_not_asked_where_one_side_changed() -> None:
    rules = {"a": counter}
    assert merge({"a": 1}, {"a": 5}, {"a": 1}, rules=rules).data == {"a": 5}
    assert merge({"a": 1}, {"a": 1}, {"a": 7}, rules=rules).data == {"a": 7}


@pytest.mark.parametrize("rule", [append, union, counter])
@pytest.mark.parametrize("values", [("[]", "[1]", "[2]"), ({}, {"x": 1}, {"y": 1})])
def test_rule_that_does_not_fit_the_values_is_a_conflict(rule: Any, values: Any) -> None:
    base, theirs, ours = values
    with pytest.raises(MergeConflict, match="rule for 'k'"):
        merge({"k": base}, {"k": theirs}, {"k": ours}, rules={"k": rule})


@pytest.mark.parametrize("rule", [append, union])
def test_rule_for_lists_takes_no_time_that_grows_with_their_square(rule: Rule) -> None:
    def seconds(size: int) -> float:
        base = [{"item": number} for number in range(size)]
        started = time.thread_time()
        assert rule(base, [*reversed(base), {"theirs": 1}], [*base, {"ours": 1}])[-2:] == [{"theirs": 1}, {"ours": 1}]
        return time.thread_time() - started

    # Ten times as many take ten times as long; by the square it would be a hundred.
    assert seconds(20_000) < 40 * min(seconds(2_000) for _ in range(3))


def test_append_tells_what_is_equal_from_what_is_the_same() -> None:
    assert append([1], [1, 5], [True]) == [5, True]
