"""A session's content as bytes: options of its cookie behind their length, then the serialised data."""

import json
from collections.abc import Mapping
from typing import Any

from ..exceptions import InvalidRecord, SessionNotSerializable
from ..keys import length_prefixed
from .tracking import TrackedDict

_REFUSALS = (TypeError, ValueError, RecursionError)
_NO_OPTIONS = length_prefixed(b"")


def dump(session_name: str, serializer: Any, options: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """Return the content; SessionNotSerializable, naming the key, if serializer refuses a value of data."""
    if isinstance(data, TrackedDict):
        data = data.plain()
    try:
        body: bytes = serializer.dumps(data)
        return _front(options) + body if options else _NO_OPTIONS + body
    except _REFUSALS as error:
        raise SessionNotSerializable(
            f"Session {session_name!r} cannot be saved: {_refused(serializer, data)}"
        ) from error


def _front(options: Mapping[str, Any]) -> bytes:
    return length_prefixed(json.dumps(options, sort_keys=True, separators=(",", ":")).encode())


def _refused(serializer: Any, data: Mapping[str, Any]) -> str:
    name = type(serializer).__qualname__
    for key, value in data.items():
        try:
            serializer.dumps({key: value})
        except _REFUSALS:
            return (
                f"the value of {key!r}, of type {type(value).__qualname__}, is nothing that {name} can serialize. "
                'Convert it first, or set SERIALIZER to "django_multisession.serializers.TypedSerializer" if that '
                "knows the type."
            )
    return f"{name} refuses it."


def parse(serializer: Any, stored: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options and data; InvalidRecord if content was not made by dump() with such a serializer."""
    start = 2
    options: Any = {}
    try:
        if not stored.startswith(_NO_OPTIONS):
            start += int.from_bytes(stored[:2], "big")
            options = json.loads(stored[2:start])
        data = serializer.loads(stored[start:])
    except Exception as error:  # a serializer is the project's own code
        raise InvalidRecord("its serializer cannot read it") from error
    if not isinstance(data, dict) or not isinstance(options, dict):
        raise InvalidRecord("it is no dictionary")
    return options, data


def largest(serializer: Any, data: Mapping[str, Any]) -> str:
    """Say which top-level keys take most room, in bytes as serialised."""
    sizes = sorted(((len(serializer.dumps({key: value})), key) for key, value in data.items()), reverse=True)
    return "Its largest keys: " + ", ".join(f"{key!r} ({size} bytes)" for size, key in sizes[:3])
