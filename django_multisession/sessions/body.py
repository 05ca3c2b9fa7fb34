"""A session's body as bytes: the options of its cookie with their length, then the serialised data.

Where msgspec is installed, it stands in for Django's JSONSerializer, two to four times as fast. loads() returns the
same to the last digit: what msgspec refuses (NaN, a lone surrogate, a number beyond a float) is left to Django's. So is
everything that dumps() might write differently, since msgspec also takes values that JSONSerializer refuses. See
decisions.md, D14 and D22; D80 says why this stands here.
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
    """A parsed body; ``options`` are the cookie's options that differ from the settings, and the ``owner``."""

    options: Mapping[str, Any]
    data: dict[str, Any]


class BodyCodec:
    """Writes and reads the bodies of one session name with its serializer."""

    def __init__(self, session_name: str, serializer: type[Any], shown: str, remedy: str = "") -> None:
        """``shown`` is the serializer's name in errors, and ``remedy`` their advice for a value that it refuses."""
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
            # Not chained to a UnicodeError, which holds the whole text.
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
        """Return options and data; InvalidRecord for bytes that dump() has not written with this serializer."""
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
        """Return one value as bytes, for comparing it."""
        dumped: bytes = self._serializer.dumps({"": value})
        return dumped

    def too_many(self, keys: int, allowed: int) -> SessionTooLarge:
        """Return the error for data with more keys than MAX_KEYS allows."""
        return SessionTooLarge(f"Session {self._session_name!r} has {keys} keys; MAX_KEYS allows {allowed}.")

    def too_large(self, error: SessionTooLarge, data: Mapping[str, Any]) -> SessionTooLarge:
        """Return the records' error for a session that is too large, with its name and its largest keys added."""
        return SessionTooLarge(f"Session {self._session_name!r} {error}. {self.largest(data)}")

    def largest(self, data: Mapping[str, Any]) -> str:
        """Return a sentence with the three largest top-level keys, and their size in bytes as serialised."""
        sizes = [(len(self._serializer.dumps({key: value})), key) for key, value in data.items()]
        sizes.sort(key=lambda found: found[0], reverse=True)
        return "Its largest keys: " + ", ".join(f"{key!r} ({size} bytes)" for size, key in sizes[:3])


def _front(options: Mapping[str, Any]) -> bytes:
    return length_prefixed(json.dumps(dict(options), sort_keys=True, separators=(",", ":")).encode())


_SCALARS = frozenset({str, int, bool, type(None)})


def _is_plain(value: Any) -> bool:
    """Tell whether msgspec and JSONSerializer write a value in the same way.

    Instances of subclasses do not count: the items of a QueryDict, for one, are not what msgspec reads. Nor do other
    types: msgspec writes dates, sets and more, which JSONSerializer refuses, and null for NaN.
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
    """JSONSerializer, faster; each can read what the other writes."""

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
        # Django decodes Latin-1 and msgspec UTF-8, so only ASCII is the same; dumps() writes nothing else.
        if data.isascii():
            try:
                return msgspec.json.decode(data)
            except msgspec.MsgspecError:
                pass
        return super().loads(data)


def fastest(serializer: type[Any]) -> type[Any]:
    """Return FastJSONSerializer in place of JSONSerializer, if msgspec is installed; any other serializer as it is."""
    return FastJSONSerializer if serializer is JSONSerializer and msgspec is not None else serializer
