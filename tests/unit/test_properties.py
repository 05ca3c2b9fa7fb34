"""Properties that hold for every input: merging, parsing what anybody may send, and bringing values back.

The examples are the same in every run, so that a change that breaks one is the cause; at night there are more.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from django.contrib.sessions.serializers import JSONSerializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_multisession.codec import Header, RecordCodec
from django_multisession.conf import GUARDED, IDENTITY
from django_multisession.cookie_codec import CookieCodec, CookieContent
from django_multisession.engines import encrypted_cookies, memory, signed_cookies
from django_multisession.envelope import COMPRESSED, LATEST, LENGTH
from django_multisession.exceptions import InvalidRecord
from django_multisession.keys import Keyring, SessionKey, StorageKeys
from django_multisession.merge import MergeConflict, append, counter, merge, union
from django_multisession.serializers import TypedSerializer

always = settings(
    max_examples=1000 if settings.get_current_profile_name() == "nightly" else 60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

# Merging.

PLAIN = ("a", "b", "c", "d")
GUARD = GUARDED | {"pending", "second_factor"}
plain = st.dictionaries(st.sampled_from(PLAIN), st.integers(0, 3))
# Few keys and values, so that the three sides often agree.
data = st.dictionaries(st.sampled_from([*PLAIN, *sorted(GUARD)]), st.integers(0, 2))
Side = dict[str, int]


def part(of: Side, keys: Any) -> Side:
    return {key: value for key, value in of.items() if key in keys}


def merged(base: Side, theirs: Side, ours: Side) -> dict[str, Any] | None:
    """Return the merged data, None after a conflict."""
    try:
        return merge(base, theirs, ours, guard=GUARD).data
    except MergeConflict:
        return None


@always
@given(plain, plain, plain)
def test_merge_loses_no_change_to_a_different_key(base: Side, theirs: Side, ours: Side) -> None:
    found = merge(base, theirs, ours)
    for key in PLAIN:
        before, there, here = base.get(key), theirs.get(key), ours.get(key)
        assert found.data.get(key) == (here if here != before else there)
        assert (key in found.overwritten) is (before != here != there != before)
    assert None not in found.data.values()


@always
@given(data, data, data)
def test_merge_never_mixes_guarded_keys(base: Side, theirs: Side, ours: Side) -> None:
    found = merged(base, theirs, ours)
    if found is not None:
        assert part(found, GUARD) in (part(theirs, GUARD), part(ours, GUARD))


@always
@given(data, data, data)
def test_merge_never_hands_data_to_another_user(base: Side, theirs: Side, ours: Side) -> None:
    found = merged(base, theirs, ours)
    if found is not None and part(theirs, IDENTITY) != part(ours, IDENTITY):
        assert found in (theirs, ours)  # one side changed nothing at all


@always
@given(data, data, data)
def test_merge_commutes_but_for_keys_that_both_changed(base: Side, theirs: Side, ours: Side) -> None:
    one, other = merged(base, theirs, ours), merged(base, ours, theirs)
    assert (one is None) is (other is None)
    if one is not None and other is not None:
        differing = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
        assert differing <= set(merge(base, theirs, ours, guard=GUARD).overwritten)


@always
@given(data, data)
def test_merge_with_no_change_on_one_side_is_the_other(base: Side, changed: Side) -> None:
    assert merged(base, base, changed) == changed
    assert merged(base, changed, base) == changed


@always
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), max_size=12))
def test_merge_of_a_counter_is_exact(writes: list[tuple[int, int]]) -> None:
    history: list[dict[str, Any]] = [{}]
    for age, step in writes:
        base = history[max(len(history) - 1 - age, 0)]
        ours = {"n": base.get("n", 0) + step}
        history.append(merge(base, history[-1], ours, rules={"n": counter}).data)
    assert history[-1].get("n", 0) == sum(step for _, step in writes)


@always
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 2))), max_size=8))
def test_merge_of_appended_lists_keeps_every_item(writes: list[tuple[int, list[int]]]) -> None:
    history: list[dict[str, Any]] = [{}]
    for age, items in writes:
        base = history[max(len(history) - 1 - age, 0)]
        ours = {"log": base.get("log", []) + items}
        history.append(merge(base, history[-1], ours, rules={"log": append}).data)
    assert Counter(history[-1].get("log", [])) == Counter(itertools.chain.from_iterable(items for _, items in writes))


numbers = st.frozensets(st.integers(0, 5))


@always
@given(numbers, numbers, numbers)
def test_merge_of_sets_keeps_what_was_added_and_drops_what_was_taken(
    base: frozenset[int], theirs: frozenset[int], ours: frozenset[int]
) -> None:
    expected = (theirs - (base - ours)) | (ours - base)
    assert union(base, theirs, ours) == expected


# What anybody may send.

KEYRING = Keyring(["test-secret", "older-test-secret"], "", "default")
SESSION_KEY = "k" * 32
KEY = SessionKey(SESSION_KEY, StorageKeys("", "default").of(SESSION_KEY))
u32 = st.integers(0, LATEST)
headers = st.builds(Header.new, st.binary(min_size=8, max_size=8), u32, u32, u32, u32)
KID = KEYRING.current.kid
# Bytes that begin as ours do get further than others.
payloads = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda header, rest: header.pack(KID) + rest, headers, st.binary(max_size=200)),
    st.builds(lambda header, rest: header.pack(KID, COMPRESSED) + rest, headers, st.binary(max_size=200)),
)
both = pytest.mark.parametrize("encrypt", [False, True], ids=["authenticated", "encrypted"])


@always
@given(payloads)
def test_header_of_any_bytes_is_read_or_unreadable(payload: bytes) -> None:
    try:
        header = Header.unpack(payload)
    except InvalidRecord:
        return
    assert header.pack(header.kid, header.flags) == payload[:LENGTH]


@always
@given(headers)
def test_header_comes_back(header: Header) -> None:
    assert Header.unpack(header.pack(KID, COMPRESSED)) == header._replace(kid=KID, flags=COMPRESSED)


@both
@always
@given(payload=payloads)
def test_record_of_any_bytes_is_unreadable(encrypt: bool, payload: bytes) -> None:
    with pytest.raises(InvalidRecord):
        RecordCodec(KEYRING, encrypt=encrypt, compress=None).decode(payload, KEY)


@both
@always
@given(header=headers, body=st.binary(), compress=st.sampled_from([None, 0]))
def test_record_comes_back(encrypt: bool, header: Header, body: bytes, compress: int | None) -> None:
    records = RecordCodec(KEYRING, encrypt=encrypt, compress=compress)
    written = records.encode(header, body, KEY)
    found, plaintext = records.decode(written, KEY)
    assert plaintext == body
    assert found[3:] == header[3:]


def altered(payload: bytes, start: int, end: int, new: bytes) -> bytes:
    start, end = sorted((start % (len(payload) + 1), end % (len(payload) + 1)))
    return payload[:start] + new + payload[end:]


alterations = st.tuples(st.integers(0, 500), st.integers(0, 500), st.binary(max_size=40))


@both
@always
@given(header=headers, body=st.binary(max_size=50), alteration=alterations)
def test_record_that_was_altered_is_unreadable(
    encrypt: bool, header: Header, body: bytes, alteration: tuple[int, int, bytes]
) -> None:
    records = RecordCodec(KEYRING, encrypt=encrypt, compress=0)
    written = records.encode(header, body, KEY)
    forged = altered(written, *alteration)
    if forged != written:
        with pytest.raises(InvalidRecord):
            records.decode(forged, KEY)


texts = st.one_of(
    st.text(max_size=200),
    st.text("ABCDEFabcdef0123-_=", max_size=200),
    payloads.map(lambda payload: base64.urlsafe_b64encode(payload).decode().rstrip("=")),
)


@both
@always
@given(value=texts)
def test_cookie_of_any_text_is_unreadable(encrypt: bool, value: str) -> None:
    with pytest.raises(InvalidRecord):
        CookieCodec(KEYRING, encrypt=encrypt, compress=None).decode(value)


@both
@always
@given(header=headers, epoch=u32, body=st.binary(), chunks=st.integers(1, 255))
def test_cookie_comes_back(encrypt: bool, header: Header, epoch: int, body: bytes, chunks: int) -> None:
    cookies = CookieCodec(KEYRING, encrypt=encrypt, compress=0, chunks=255)
    content = CookieContent(header, b"\xab" * 20, epoch, body)
    value = cookies.encode(content, chunks)
    found = cookies.decode(value)
    assert found[1:] == content[1:]
    assert found.header[3:] == header[3:]


@both
@always
@given(header=headers, body=st.binary(max_size=50), at=st.integers(0), new=st.text(max_size=3))
def test_cookie_that_was_altered_is_unreadable(encrypt: bool, header: Header, body: bytes, at: int, new: str) -> None:
    cookies = CookieCodec(KEYRING, encrypt=encrypt, compress=0, chunks=255)
    value = cookies.encode(CookieContent(header, b"\xab" * 20, 0, body))
    at %= len(value)
    for forged in (value[:at] + new + value[at:], value[:at] + new + value[at + 1 :]):
        if forged != value:
            with pytest.raises(InvalidRecord):
                cookies.decode(forged)


@pytest.mark.parametrize("engine", [memory, signed_cookies, encrypted_cookies])
@always
@given(key=texts)
def test_session_of_any_key_is_empty(engine: Any, key: str) -> None:
    session = engine.SessionStore(key)
    assert session.load() == {}
    assert not session.exists(key)


# Bringing values back.

zones = st.one_of(
    st.none(),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Africa/Monrovia"]).map(ZoneInfo),
    # Python's fromisoformat() takes an offset of less than a second for UTC.
    st.integers(-23 * 3600, 23 * 3600).map(lambda seconds: timezone(timedelta(seconds=seconds))),
)
folds = st.integers(0, 1)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**62, 2**66),
    st.integers(-(2**66), -(2**62)),
    st.floats(),
    st.text(),
    st.binary(),
    st.dates(),
    st.builds(lambda value, fold: value.replace(fold=fold), st.datetimes(timezones=zones), folds),
    st.builds(lambda value, zone, fold: value.replace(tzinfo=zone, fold=fold), st.times(), zones, folds),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
)
hashable = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan())),
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=5,
)
map_keys = st.one_of(st.text(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), st.binary(), st.floats())
values = st.recursive(
    st.one_of(scalars, hashable),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(hashable, max_size=3),
        st.dictionaries(map_keys, inner, max_size=3),
    ),
    max_leaves=8,
)


def canonical(value: Any) -> Any:
    """Return what tells two values apart that may be NaN, in another order, or equal but of another type."""
    kind = type(value).__name__
    if isinstance(value, list | tuple):
        return kind, [canonical(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(canonical(item)) for item in value)
    if isinstance(value, dict):
        return kind, [(canonical(key), canonical(item)) for key, item in value.items()]
    if isinstance(value, datetime | time):
        return kind, value.isoformat(), str(value.tzinfo), value.fold
    return kind, repr(value)


@always
@given(values)
def test_typed_value_comes_back_the_same(value: Any) -> None:
    serializer = TypedSerializer()
    written = serializer.dumps({"k": value})
    found = serializer.loads(written)
    assert canonical(found) == canonical({"k": value})
    assert serializer.dumps(found) == written


@always
@given(st.lists(st.one_of(st.integers(), st.text(), st.binary(), st.uuids()), unique=True))
def test_typed_sets_do_not_depend_on_their_order(items: list[Any]) -> None:
    dumps: Callable[[Any], bytes] = TypedSerializer().dumps
    assert dumps(set(items)) == dumps({*items[::-1]})
    assert dumps(frozenset(items)) == dumps(frozenset(items[::-1]))


shapes = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=2)),
    max_leaves=5,
)
foreign = st.one_of(
    st.binary(),
    st.builds(
        lambda code, shape: msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(shape))),
        st.integers(-128, 127),
        shapes,
    ),
    st.builds(
        lambda code, data: msgspec.msgpack.encode([msgspec.msgpack.Ext(code, data)]),
        st.integers(1, 10),
        st.binary(),
    ),
)


@settings(always, max_examples=4 * always.max_examples)
@given(foreign)
def test_typed_loads_of_any_bytes_is_a_value_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        TypedSerializer().loads(data)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


@always
@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_json_value_comes_back_the_same(value: dict[str, Any]) -> None:
    serializer = JSONSerializer()
    found = serializer.loads(serializer.dumps(value))
    assert canonical(found) == canonical(value)


def test_examples_reach_every_typed_kind() -> None:
    kinds = {type(None), bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal}
    seen: set[type] = set()

    @always
    @given(scalars)
    def look(value: Any) -> None:
        seen.add(type(value))

    look()
    assert kinds <= seen
