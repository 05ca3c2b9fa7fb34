"""A session's body as bytes: options of its cookie behind their length, then the serialised data.

Django's JSONSerializer is two to four times as fast here where msgspec is installed. What loads() returns is the same
to the last digit; whatever msgspec refuses (NaN, a lone surrogate, a number past a float) goes to Django's. So does
whatever dumps() cannot show to be the same: msgspec would take values that JSONSerializer refuses. See decisions.md,
D14 and D22; and D80 for why it stands here.
"""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.core.signing import JSONSerializer

from ..exceptions import InvalidRecord, SessionNotSerializable, SessionTooLarge
from ..keys import length_prefixed
from ..reprs import shown_as
from .tracking import TrackedDict

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]  # the extra [typed] is not installed

_NO_OPTIONS = length_prefixed(b"")
NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@shown_as(lambda body: f"{len(body.data)} keys")
class Body(NamedTuple):
    """``options`` are what differs from the settings of the cookie, and ``owner``; see Draft."""

    options: Mapping[str, Any]
    data: dict[str, Any]


class BodyCodec:
    """Bodies of one session name, by its serializer."""

    def __init__(self, session_name: str, serializer: type[Any], shown: str, remedy: str = "") -> None:
        """``shown`` is how errors name the serializer, and ``remedy`` what they advise of a value that it refuses."""
        self._session_name = session_name
        self._serializer = serializer()
        self._shown = shown
        self._remedy = remedy

    def dump(self, options: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
        """Return the body; SessionNotSerializable, naming the key, if the serializer refuses a value."""
        if isinstance(data, TrackedDict):
            data = data.plain()
        try:
            dumped: bytes = self._serializer.dumps(data)
            return (_front(options) if options else _NO_OPTIONS) + dumped
        except Exception as error:  # noqa: BLE001 - a serializer is the project's own code
            reason = self._refusal(data)
            refused = SessionNotSerializable(f"Session {self._session_name!r} cannot be saved: {reason}")
            # A UnicodeError carries the whole text.
            raise refused from None if isinstance(error, UnicodeError) else error

    def _refusal(self, data: Mapping[str, Any]) -> str:
        for key, value in data.items():
            try:
                self._serializer.dumps({key: value})
            except Exception:  # noqa: BLE001 - see dump()
                kind = type(value).__qualname__
                sentence = f"{self._shown} cannot serialize the value of {key!r}, of type {kind}."
                return f"{sentence} {self._remedy}".strip()
        return f"{self._shown} refuses it."

    def parse(self, stored: bytes) -> Body:
        """Return options and data; InvalidRecord if the bytes were not made by dump() with such a serializer."""
        start, options = 2, NONE
        try:
            if not stored.startswith(_NO_OPTIONS):
                start += int.from_bytes(stored[:2], "big")
                options = json.loads(stored[2:start])
            data = self._serializer.loads(stored[start:])
        except Exception as error:  # a serializer is the project's own code
            raise InvalidRecord("its serializer cannot read it") from error
        if not isinstance(data, dict) or not (options is NONE or isinstance(options, dict)):
            raise InvalidRecord("it is no dictionary")
        return Body(options, data)

    def dumps(self, value: Any) -> bytes:
        """Return one value as bytes."""
        dumped: bytes = self._serializer.dumps({"": value})
        return dumped

    def too_many(self, keys: int, allowed: int) -> SessionTooLarge:
        """Return the error of data with more keys than MAX_KEYS allows."""
        return SessionTooLarge(f"Session {self._session_name!r} has {keys} keys; MAX_KEYS allows {allowed}.")

    def too_large(self, error: SessionTooLarge, data: Mapping[str, Any]) -> SessionTooLarge:
        """Return what the records say of a session that is too large, with the largest keys' sizes."""
        return SessionTooLarge(f"Session {self._session_name!r} {error}. {self.largest(data)}")

    def largest(self, data: Mapping[str, Any]) -> str:
        """Say which top-level keys take most room, in bytes as serialised."""
        sizes = [(len(self._serializer.dumps({key: value})), key) for key, value in data.items()]
        sizes.sort(key=lambda found: found[0], reverse=True)
        return "Its largest keys: " + ", ".join(f"{key!r} ({size} bytes)" for size, key in sizes[:3])


def _front(options: Mapping[str, Any]) -> bytes:
    return length_prefixed(json.dumps(dict(options), sort_keys=True, separators=(",", ":")).encode())


_SCALARS = frozenset({str, int, bool, type(None)})


def _is_plain(value: Any) -> bool:
    """Tell whether msgspec and JSONSerializer write a value alike.

    Subclasses are not for msgspec to read: a QueryDict's items are not what it holds. Nor are other types: it knows
    dates, sets and more, which JSONSerializer refuses, and writes null for NaN.
    """
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) in _SCALARS or _is_plain(item)):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110 - a generator would double the time
            if not (type(item) in _SCALARS or _is_plain(item)):
                return False
        return True
    return kind in _SCALARS or (kind is float and math.isfinite(value))


class FastJSONSerializer(JSONSerializer):
    """JSONSerializer by another way: what either of them writes, both read alike."""

    def dumps(self, obj: Any) -> bytes:
        try:
            if _is_plain(obj):
                data = msgspec.json.encode(obj)
                if data.isascii():
                    return data
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the first is a ValueError in some versions only
            pass
        return super().dumps(obj)

    def loads(self, data: bytes) -> Any:
        # Django decodes Latin-1, msgspec UTF-8: only what is neither, and that is all that dumps() writes, is the same.
        if data.isascii():
            try:
                return msgspec.json.decode(data)
            except msgspec.MsgspecError:
                pass
        return super().loads(data)


def fastest(serializer: type[Any]) -> type[Any]:
    """Return FastJSONSerializer for exactly JSONSerializer, if it can be had, and any other serializer as it is."""
    return FastJSONSerializer if serializer is JSONSerializer and msgspec is not None else serializer
