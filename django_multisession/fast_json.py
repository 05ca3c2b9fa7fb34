"""Django's JSONSerializer, two to four times as fast where msgspec is installed.

What loads() returns is the same to the last digit; whatever msgspec refuses (NaN, a lone surrogate, a number past a
float) goes to Django's. So does whatever dumps() cannot show to be the same: msgspec would take values that
JSONSerializer refuses. See decisions.md, D14 and D22.
"""

import math
from typing import Any

from django.core.signing import JSONSerializer

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]  # the extra [typed] is not installed


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
