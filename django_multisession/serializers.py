"""TypedSerializer, for SESSION_SERIALIZER or SERIALIZER: it preserves the types that JSON does not have."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

try:
    import msgspec
except ImportError as missing:  # pragma: no cover - the extra is installed wherever tests run
    raise ImproperlyConfigured('TypedSerializer needs msgspec: pip install "django_multisession[typed]".') from missing

# Codes of MessagePack extensions. They are stored: never give one a second meaning.
_TUPLE, _SET, _FROZENSET, _DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _INTEGER, _TEXT, _ITEMS = range(1, 13)


def _plain_datetime(value: datetime) -> datetime:
    fields = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    return datetime(*fields, tzinfo=value.tzinfo, fold=value.fold)


def _plain_time(value: time) -> time:
    return time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)


_BASES: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (str, str.__str__),  # str() may give the name of an enum's member, or a SafeString again
    (int, int),
    (float, float),
    (bytes, bytes),
    (list, list),
    (dict, dict),
    (tuple, tuple),  # a named tuple
    (set, set),
    (frozenset, frozenset),
    (datetime, _plain_datetime),  # before date, of which it is one
    (date, lambda value: date(value.year, value.month, value.day)),
    (time, _plain_time),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    (Decimal, Decimal),
    (UUID, lambda value: UUID(int=value.int)),
)


def _zone(value: datetime | time) -> list[Any]:
    # The ISO text has the offset; a named zone and the fold of its repeated hour are kept beside it.
    name = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    return [value.isoformat(), name, value.fold]


def _rezone(value: Any, name: str | None, fold: int) -> Any:
    return value.replace(tzinfo=ZoneInfo(name) if name else value.tzinfo, fold=fold)


def _pack(value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
    kind = type(value)
    if value is None or kind in (bool, float, bytes) or (kind is str and value.isascii()):
        return value
    if kind is int:
        # MessagePack's own integers end at 64 bits.
        return value if -(2**63) <= value < 2**64 else msgspec.msgpack.Ext(_INTEGER, _to_bytes(value))
    if kind is list:
        return [_pack(item) for item in value]
    if kind is dict:
        return _pack_items(list(map(_pack_key, value)), list(map(_pack, value.values())))
    if kind is str:
        return _pack_text(value)
    try:
        code, shape = _SHAPES[kind]
    except KeyError:
        # An instance of a subclass, such as SafeString, comes back as one of its base.
        for base, plain in _BASES:
            if isinstance(value, base):
                return _pack(plain(value))
        raise TypeError(f"Object of type {kind.__name__} is not serializable") from None
    return msgspec.msgpack.Ext(code, msgspec.msgpack.encode(shape(value)))


def _to_bytes(value: int) -> bytes:
    # Not as decimal text, which Python refuses beyond 4300 digits.
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _pack_text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        # A lone surrogate, as file names may hold: JSON can express it, UTF-8 cannot.
        return msgspec.msgpack.Ext(_TEXT, value.encode("utf-8", "surrogatepass"))
    return value


def _pack_items(keys: list[Any], values: list[Any]) -> Any:
    try:
        return dict(zip(keys, values, strict=True))
    except TypeError:  # an Ext is not hashable
        return msgspec.msgpack.Ext(_ITEMS, msgspec.msgpack.encode([keys, values]))


def _pack_key(key: Any) -> Any:
    if type(key) is int and not -(2**63) <= key < 2**64:
        raise TypeError("Keys of a dictionary that are integers must fit into 64 bits")
    if type(key) in (int, bool, float, bytes) or key is None:
        return key
    if isinstance(key, str):
        return _pack_text(str.__str__(key))
    raise TypeError(f"Keys of a dictionary must be str, int, float, bool, bytes or None, not {type(key).__name__}")


def _sorted(items: Any) -> list[Any]:
    # The same set must give the same bytes: sessions are compared as serialised.
    return sorted(map(_pack, items), key=msgspec.msgpack.encode)


_SHAPES: Mapping[type, tuple[int, Callable[[Any], Any]]] = MappingProxyType(
    {
        tuple: (_TUPLE, lambda value: [_pack(item) for item in value]),
        set: (_SET, _sorted),
        frozenset: (_FROZENSET, _sorted),
        datetime: (_DATETIME, _zone),
        date: (_DATE, date.isoformat),
        time: (_TIME, _zone),
        timedelta: (_TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
        Decimal: (_DECIMAL, Decimal.__str__),
        UUID: (_UUID, lambda value: value.bytes),
    }
)

_VALUES: Mapping[int, Callable[[Any], Any]] = MappingProxyType(
    {
        _TUPLE: tuple,
        _SET: set,
        _FROZENSET: frozenset,
        _DATETIME: lambda shape: _rezone(datetime.fromisoformat(shape[0]), *shape[1:]),
        _DATE: date.fromisoformat,
        _TIME: lambda shape: _rezone(time.fromisoformat(shape[0]), *shape[1:]),
        _TIMEDELTA: lambda shape: timedelta(*shape),
        _DECIMAL: Decimal,
        _UUID: lambda shape: UUID(bytes=shape),
        _ITEMS: lambda shape: dict(zip(*shape, strict=True)),
    }
)


def _unpack(code: int, data: memoryview) -> Any:
    if code == _INTEGER:
        return int.from_bytes(data, "big", signed=True)
    if code == _TEXT:
        return bytes(data).decode("utf-8", "surrogatepass")
    return _VALUES[code](_decoder.decode(data))


_decoder = msgspec.msgpack.Decoder(ext_hook=_unpack)


class TypedSerializer:
    """MessagePack that keeps types: datetime, date, time, timedelta, Decimal, UUID, bytes, set, tuple.

    An instance of a subclass comes back as one of its base: an enum's member as its value, a named tuple as a tuple.

    Set ``SESSION_SERIALIZER = "django_multisession.serializers.TypedSerializer"``, or SERIALIZER of an entry. Needs
    the extra ``[typed]``. Dictionaries keep integer keys, which JSON turns into strings.
    """

    def dumps(self, obj: Any) -> bytes:
        """Return obj as bytes; TypeError for an unsupported type, RecursionError for an object that contains itself."""
        return msgspec.msgpack.encode(_pack(obj))

    def loads(self, data: bytes) -> Any:
        """Return the object that dumps() was given; ValueError for bytes that dumps() did not write."""
        try:
            return _decoder.decode(data)
        except (msgspec.MsgspecError, LookupError, TypeError, ArithmeticError) as error:
            # MsgspecError is a ValueError in some versions only.
            raise ValueError("not written by TypedSerializer") from error
