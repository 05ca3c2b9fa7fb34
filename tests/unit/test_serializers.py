"""TypedSerializer brings values back as they went in."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.core.signing import JSONSerializer
from django.http import QueryDict
from django.test import override_settings
from django.utils.safestring import mark_safe

from django_multisession.engines import signed_cookies
from django_multisession.exceptions import SessionNotSerializable
from django_multisession.serializers import TypedSerializer
from django_multisession.sessions import body
from django_multisession.sessions.body import FastJSONSerializer, fastest
from django_multisession.sessions.config import session_config

BERLIN = ZoneInfo("Europe/Berlin")


class Colour(str, enum.Enum):  # noqa: UP042 - StrEnum would hide what str() does here
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Moment(datetime):
    def __str__(self) -> str:
        return "now"

    isoformat = __str__  # type: ignore[assignment]  # on purpose


class Day(date):
    def isoformat(self) -> str:
        return "today"


class Hour(time):
    pass


class Span(timedelta):
    pass


class Price(Decimal):
    def __str__(self) -> str:
        return "cheap"


class Identifier(UUID):
    pass


class Pair(NamedTuple):
    left: Any
    right: Any


class Tags(set[Any]):
    pass


@pytest.fixture
def serializer() -> TypedSerializer:
    return TypedSerializer()


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1.5,
        float("inf"),
        "Zoë",
        "\ud800 and \udfff",
        {"\udcff": "\udcff"},
        {1: "one", "a": "text"},
        b"\0\xff",
        0,
        -(2**63),
        -(2**63) - 1,
        2**64 - 1,
        2**64,
        -(10**1000),
        [1, [2]],
        {"a": {"b": 1}, 1: 2, 1.5: 3, b"x": 4, None: 5},
        {True: 1},
        (),
        (1, (2, [3])),
        {1, 2},
        {(1, frozenset({2}))},
        frozenset(),
        date(1, 1, 1),
        date.max,
        datetime.min,  # noqa: DTZ901 - naive values come back as well
        datetime(2026, 10, 25, 2, 30, fold=1),  # noqa: DTZ001 - one without a zone is meant
        datetime(2026, 10, 25, 2, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=45, seconds=1))),
        datetime(2026, 10, 25, 2, 30, 1, 7, tzinfo=BERLIN),
        time(1, 2, 3, 4),
        time(1, 2, tzinfo=BERLIN, fold=1),
        time(1, 2, tzinfo=UTC),
        timedelta(days=-1, microseconds=1),
        timedelta.max,
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("1E+400"),
        UUID(int=2**127),
    ],
)
def test_value_comes_back_with_its_type(serializer: TypedSerializer, value: Any) -> None:
    found = serializer.loads(serializer.dumps({"k": value}))["k"]
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_integer_too_long_for_decimal_text_comes_back(serializer: TypedSerializer) -> None:
    value = -(10**5000)
    assert serializer.loads(serializer.dumps(value)) == value


@pytest.mark.parametrize("text", ["NaN", "-sNaN123", "Infinity"])
def test_decimal_that_is_no_number_comes_back(serializer: TypedSerializer, text: str) -> None:
    assert str(serializer.loads(serializer.dumps(Decimal(text)))) == text


@pytest.mark.parametrize("fold", [0, 1])
def test_fold_of_a_repeated_hour_comes_back(serializer: TypedSerializer, fold: int) -> None:
    value = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)
    found = serializer.loads(serializer.dumps(value))
    assert (found.fold, found.tzinfo, found.utcoffset()) == (fold, BERLIN, value.utcoffset())


def test_sets_of_equal_values_give_equal_bytes(serializer: TypedSerializer) -> None:
    # In a table of eight places, 0 and 8 collide: the order of iteration is that of insertion.
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    assert serializer.dumps(one) == serializer.dumps(other)
    assert serializer.dumps({"a", 1, None, (2,)}) == serializer.dumps({(2,), None, 1, "a"})


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (mark_safe("<b>"), "<b>"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (OrderedDict(a=1), {"a": 1}),
        ({mark_safe("k"): 1}, {"k": 1}),
        ({Colour.RED: 1}, {"red": 1}),
        (Moment(2026, 10, 25, 2, 30, 1, 7, tzinfo=BERLIN, fold=1), datetime(2026, 10, 25, 2, 30, 1, 7, BERLIN, fold=1)),
        (Day(2026, 10, 25), date(2026, 10, 25)),
        (Hour(1, 2, 3, 4, tzinfo=UTC), time(1, 2, 3, 4, tzinfo=UTC)),
        (Span(days=1, microseconds=2), timedelta(days=1, microseconds=2)),
        (Price("1.10"), Decimal("1.10")),
        (Identifier(int=7), UUID(int=7)),
        (Pair(1, Pair("a", None)), (1, ("a", None))),
        (Tags({1}), {1}),
    ],
)
def test_subclass_comes_back_as_its_base(serializer: TypedSerializer, value: Any, base: Any) -> None:
    found = serializer.loads(serializer.dumps(value))
    assert found == base
    assert type(found) is type(base)


@pytest.mark.parametrize("value", [object(), {"k": [object()]}, {(1, 2): 3}, {2**64: 1}, iter(()), 1j])
def test_value_of_an_unknown_type_is_refused(serializer: TypedSerializer, value: Any) -> None:
    with pytest.raises(TypeError, match=r"not serializable|must be str|64 bits"):
        serializer.dumps(value)


def test_value_that_contains_itself_is_refused(serializer: TypedSerializer) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(RecursionError):
        serializer.dumps(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x01",
        msgspec.msgpack.encode(msgspec.msgpack.Ext(99, b"")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(1, b"\xc0")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(2, b"\x91\x91\x01")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(4, b"\x90")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(4, b"\x93\xa1x\xc0\x00")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(6, b"\x93\xa500:00\xa8No/Where\x00")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(7, b"\x93\xcb\x7f\xf0\0\0\0\0\0\0\0\0")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(8, b"\xa1x")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(9, b"\xc4\x01x")),
    ],
)
def test_loads_of_anything_else_is_a_value_error(serializer: TypedSerializer, data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of msgspec, of datetime and our own
        serializer.loads(data)


# FastJSONSerializer

ODD = [
    -0.0,
    1e400,
    5e-324,
    2**64,
    -(2**63) - 1,
    10**40,
    float("nan"),
    "\ud800",
    "é\U0001f600",
    "\0",
    [],
    {},
    True,
    None,
]


@pytest.mark.parametrize("value", ODD, ids=ascii)
@pytest.mark.parametrize("writer", [JSONSerializer, FastJSONSerializer])
def test_fast_json_reads_what_django_does(writer: type[JSONSerializer], value: object) -> None:
    written = writer().dumps({"value": value})
    assert writer is FastJSONSerializer or written == JSONSerializer().dumps({"value": value})
    fast, django = FastJSONSerializer().loads(written), JSONSerializer().loads(written)
    assert (repr(fast), type(fast["value"])) == (repr(django), type(django["value"]))


@pytest.mark.parametrize("value", [*ODD, (1, (2,)), {1.5: 3, None: 4, True: 5}, Colour.RED, Number.ONE], ids=ascii)
def test_fast_json_writes_what_django_reads_alike(value: object) -> None:
    written = FastJSONSerializer().dumps({"value": value})
    expected = JSONSerializer().loads(JSONSerializer().dumps({"value": value}))
    assert repr(JSONSerializer().loads(written)) == repr(expected)


@dataclass
class Point:
    x: int = 1


REFUSED = [date(2026, 11, 25), UUID(int=1), Decimal("1.5"), {1, 2}, set(), b"bytes", Point(), timedelta(1), object()]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": [value]}], ids=["plain", "deep"])
def test_fast_json_does_not_write_what_django_refuses(wrap: Callable[[object], object], value: object) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        FastJSONSerializer().dumps({"value": wrap(value)})


def test_fast_json_writes_the_items_of_a_subclass_and_not_what_it_holds() -> None:
    class Odd(list[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([9])

    moved = OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    for value in (QueryDict("status=open&status=closed"), Odd([1]), moved):
        assert FastJSONSerializer().dumps({"value": value}) == JSONSerializer().dumps({"value": value})


def test_fast_json_refuses_what_contains_itself() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        FastJSONSerializer().dumps({"value": circle})


@pytest.mark.parametrize("data", [b"", b"{", b'{"a":1}x', b"\xef\xbb\xbf{}", b'{"a":01}'])
def test_fast_json_refuses_what_django_does(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S") as django:
        JSONSerializer().loads(data)
    with pytest.raises(ValueError, match=r"\S") as fast:
        FastJSONSerializer().loads(data)
    assert str(fast.value) == str(django.value)


def test_fast_json_reads_latin_1_as_django_does() -> None:
    assert FastJSONSerializer().loads(b'{"a":"\xc3\xa9"}') == JSONSerializer().loads(b'{"a":"\xc3\xa9"}')


def test_fastest_is_no_other_serializers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(JSONSerializer):
        pass

    assert fastest(Own) is Own
    assert fastest(JSONSerializer) is FastJSONSerializer
    monkeypatch.setattr(body, "msgspec", None)
    assert fastest(JSONSerializer) is JSONSerializer


# What errors say.


def refusal(serializer: str, value: object) -> str:
    entry = {"SERIALIZER": serializer}
    with override_settings(MULTISESSION={"default": entry}), pytest.raises(SessionNotSerializable) as caught:
        session_config("default").bodies.dump({}, {"fine": 1, "wrong": value})
    return str(caught.value)


def test_error_names_the_serializer_that_is_configured_and_advises_another() -> None:
    told = refusal("django.core.signing.JSONSerializer", {1, 2})
    assert "JSONSerializer cannot serialize the value of 'wrong', of type set. " in told
    assert "FastJSON" not in told
    assert "'django_multisession.serializers.TypedSerializer'" in told


def test_error_of_typed_serializer_does_not_advise_itself() -> None:
    told = refusal("django_multisession.serializers.TypedSerializer", object())
    assert told.endswith("TypedSerializer cannot serialize the value of 'wrong', of type object.")


def test_sizes_of_keys_of_several_types_are_told() -> None:
    with override_settings(MULTISESSION={"default": {"SERIALIZER": "django_multisession.serializers.TypedSerializer"}}):
        told = session_config("default").bodies.largest({1: "x", "a": "x"})  # type: ignore[dict-item]  # on purpose
    assert told.startswith("Its largest keys: ")


MALFORMED = ["A", "AA.A", "A" * 45, "ä", "A\\A", "!" * 60]


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_cookie_is_no_session_whatever_msgspec_is_installed(value: str) -> None:
    # Up to msgspec 0.20 its errors are no ValueErrors.
    with override_settings(MULTISESSION={"default": {"SERIALIZER": "django_multisession.serializers.TypedSerializer"}}):
        assert signed_cookies.SessionStore(value).load() == {}


@pytest.mark.parametrize("serializer", [TypedSerializer, FastJSONSerializer])
@pytest.mark.parametrize("data", [b"\xc1", b"{", b"", b"\x81\x01", b"[1", b"\xd4\x63\x00"])
def test_malformed_data_is_a_value_error_whatever_msgspec_is_installed(serializer: type[Any], data: bytes) -> None:
    if data == b"{" and serializer is TypedSerializer:
        data += b"\xc1"  # alone, it is a number
    with pytest.raises(ValueError, match=r"\S"):
        serializer().loads(data)
