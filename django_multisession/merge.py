"""Merge two sets of changes to one session, by top-level key, against what both had loaded. Pure.

A key that only one side changed is kept as that side has it. For a key that both changed, its rule decides; without a
rule, our value wins.
"""

import json
import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .conf import IDENTITY

Rule = Callable[[Any, Any, Any], Any]
"""(base, theirs, ours) → merged. None stands for an absent key, both as an argument and as the result."""

_ABSENT: Final = object()


class MergeConflict(Exception):
    """The two sides must not be merged; the message says why, and names keys of the session but no values."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge; ``overwritten`` names the keys that both sides changed and ours won, without a rule."""

    data: dict[str, Any] = field(repr=False)
    overwritten: tuple[str, ...]


def merge(
    base: Mapping[str, Any],
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    *,
    rules: Mapping[str, Rule] = {},
    guard: Collection[str] = IDENTITY,
    read: Collection[str] = (),
    same: Callable[[Any, Any], bool] = operator.eq,
    rotates: bool = False,
) -> Merged:
    """Return theirs with our changes to base applied; MergeConflict where that would mix what belongs together.

    ``guard`` names keys that are merged as one unit. ``read`` names keys that we relied on: a change of theirs to one
    of them is a conflict. ``same`` compares two values. ``rotates`` tells that our side has got a new session key: a
    login there keeps what the anonymous session held before it, and so also what was changed under the old key since.
    """

    def changed(side: Mapping[str, Any]) -> set[str]:
        return {key for key in base.keys() | side.keys() if not equal(base, side, key)}

    def equal(left: Mapping[str, Any], right: Mapping[str, Any], key: str) -> bool:
        one, other = left.get(key, _ABSENT), right.get(key, _ABSENT)
        if one is _ABSENT or other is _ABSENT:
            return one is other
        return same(one, other)

    here, there = changed(ours), changed(theirs)
    guarded = here & set(guard), there & set(guard)
    if all(guarded) and not all(equal(ours, theirs, key) for key in guard):
        raise MergeConflict(f"both sides changed guarded keys: {_listed(guarded[0] | guarded[1])}")
    mixed = not all(equal(ours, theirs, key) for key in IDENTITY)
    if here and there and mixed and not (rotates and all(equal(base, theirs, key) for key in IDENTITY)):
        raise MergeConflict("the session changed hands (login, logout or another user)")
    relied_on = [key for key in there & set(read) if key not in rules]
    if relied_on:
        raise MergeConflict(f"keys that were read have changed: {_listed(relied_on)}")

    data = dict(theirs)
    overwritten = []
    for key in (key for key in {**base, **ours} if key in here):
        value = ours.get(key, _ABSENT)
        if key in there and key in rules:
            value = _apply(key, rules[key], base.get(key), theirs.get(key), ours.get(key))
        elif key in there and not equal(ours, theirs, key):
            overwritten.append(key)
        if value is _ABSENT:
            data.pop(key, None)
        else:
            data[key] = value
    return Merged(data, tuple(sorted(overwritten, key=repr)))


def _apply(key: str, rule: Rule, base: Any, theirs: Any, ours: Any) -> Any:
    try:
        merged = rule(base, theirs, ours)
    except (TypeError, ValueError) as error:
        raise MergeConflict(f"the rule for {key!r} does not fit its values") from error
    return _ABSENT if merged is None else merged


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(repr(key) for key in sorted(keys, key=repr))


def append(base: Any, theirs: Any, ours: Any) -> Any:
    """Keep what either side appended to a list, without what we removed."""
    before, mine = _items(base), _items(ours)
    taken = _without(before, mine)
    return _like(theirs, ours, _without(_items(theirs), taken) + _without(mine, before))


def union(base: Any, theirs: Any, ours: Any) -> Any:
    """Keep what either side added to a set (or to a list without repetitions), without what we removed."""
    added = _without(_items(ours), _items(base))
    taken = _without(_items(base), _items(ours))
    kept = _without(_items(theirs), taken)
    return _like(theirs, ours, kept + _without(added, kept))


def counter(base: Any, theirs: Any, ours: Any) -> Any:
    """Add up what both sides added to a number."""
    if theirs is None and ours is None:
        return None
    return (theirs or 0) + (ours or 0) - (base or 0)


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple | set | frozenset | None):
        raise TypeError(f"{type(value).__name__} has no items to merge")  # those of a str would be its characters
    return [] if value is None else list(value)


def append_messages(base: Any, theirs: Any, ours: Any) -> Any:
    """Keep what either side appended to the messages of django.contrib.messages, a list in JSON."""
    merged = append(*(side and json.loads(side) for side in (base, theirs, ours)))
    return json.dumps(merged, separators=(",", ":")) if merged else None


def _without(items: list[Any], taken: list[Any]) -> list[Any]:
    """Return items without those of taken; one that was taken twice is left out twice."""
    # Compared by repr: items need not be hashable, and 1 must differ from True.
    left = Counter(map(repr, taken))
    kept = []
    for item in items:
        if left[text := repr(item)]:
            left[text] -= 1
        else:
            kept.append(item)
    return kept


def _like(theirs: Any, ours: Any, items: list[Any]) -> Any:
    kind = type(ours if ours is not None else theirs)
    if not items and ours is None:
        return None
    return items if kind is list else kind(items)


RULES: Final[Mapping[str, Rule]] = {"append": append, "counter": counter, "union": union}
