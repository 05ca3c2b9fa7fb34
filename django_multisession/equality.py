"""Whether two values of a session are the same to whoever reads them. Pure.

1, 1.0 and True are equal in Python, but not the same. Comparing what a serializer writes is not enough: one that adds
a nonce or a time stamp, or writes sets in no fixed order, writes the same value differently each time.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

_BY_EQUALITY: Final = (str, bytes, int, bool, type(None), UUID)
_BY_REPR: Final = (float, complex, Decimal, datetime, date, time, timedelta)
"""So that NaN is the same as NaN, 0.0 differs from -0.0, and equal moments in two time zones differ."""


def same(one: Any, other: Any, dumps: Callable[[Any], bytes]) -> bool:
    """Tell whether two parsed values are the same: of the same type, with the same items in the same order.

    Values of a type that is not known here are the same if ``dumps`` writes equal bytes for them; they count as
    different if it writes different bytes for one and the same value.
    """
    if one is other:
        return True
    known = _same(one, other)
    if known is not None:
        return known
    written = dumps(one)
    return written == dumps(other) and written == dumps(one)


def _same(one: Any, other: Any) -> bool | None:  # noqa: PLR0911 - one for each kind of value
    kind = type(one)
    if kind is not type(other):
        return False
    if kind in _BY_EQUALITY:
        return bool(one == other)
    if kind in _BY_REPR:
        return repr(one) == repr(other)
    if kind is dict:
        if len(one) != len(other):
            return False
        return _all_same([*one.keys(), *one.values()], [*other.keys(), *other.values()])
    if kind in (list, tuple):
        return len(one) == len(other) and _all_same(one, other)
    if kind in (set, frozenset):
        return sorted(map(_typed, one)) == sorted(map(_typed, other)) if _are_plain(one) and _are_plain(other) else None
    return None


def _all_same(ones: Any, others: Any) -> bool | None:
    verdict: bool | None = True
    for one, other in zip(ones, others, strict=True):
        found = _same(one, other)
        if found is False:
            return False
        if found is None:
            verdict = None
    return verdict


def _are_plain(items: Any) -> bool:
    return all(type(item) in (*_BY_EQUALITY, *_BY_REPR) for item in items)


def _typed(item: Any) -> str:
    return f"{type(item).__name__} {item!r}"
