"""Tell our cookies from those of other engines."""

from ..cookie_codec import CookieCodec
from ..exceptions import InvalidRecord


def is_ours(codec: CookieCodec, value: str) -> bool:
    """Tell whether a codec can read the value of a cookie."""
    try:
        return bool(codec.decode(value))
    except InvalidRecord:
        return False
