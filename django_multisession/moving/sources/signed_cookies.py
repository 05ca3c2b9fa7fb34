"""Sessions in the cookies themselves: Django's signed_cookies engine."""

from typing import Final

from django.core import signing
from django.core.exceptions import ImproperlyConfigured

from ...conf import Fallback
from ...exceptions import InvalidRecord
from ..source import BY_ITSELF, Found, New, Removal
from .djangos import DjangosSource, as_session, seconds_left

SALT: Final = "django.contrib.sessions.backends.signed_cookies"
_LONGEST: Final = 4096
"""The most bytes of a cookie that browsers keep (RFC 6265, section 6.1)."""


class SignedCookieSource(DjangosSource):
    """The session in a cookie: its data, the time of its signature, and the signature by SECRET_KEY or a fallback."""

    in_cookies = True
    why_not_scannable = f"its sessions are in the visitors' browsers: {BY_ITSELF}"

    def __init__(self, fallback: Fallback) -> None:
        if fallback.entry.location is not None:
            raise ImproperlyConfigured("LOCATION means nothing for sessions in cookies. Remove it.")
        super().__init__(fallback)

    @property
    def name(self) -> str:
        return "the browsers' cookies"

    def accepts(self, key: str) -> bool:
        """See Source.accepts()."""
        return key.count(":") == 2 and len(key) <= _LONGEST and key.isascii()

    async def read(self, key: str) -> Found | None:
        age = self.engine.cookie_age
        try:
            data = signing.loads(key, salt=SALT, serializer=self.engine.serializer, max_age=age)
        except signing.SignatureExpired:
            return None
        except signing.BadSignature:
            raise InvalidRecord("it is not signed with SECRET_KEY or its fallbacks") from None
        except Exception as error:  # a serializer is the project's own code
            raise InvalidRecord("its serializer cannot read it") from error
        signed_at = signing.b62_decode(key.split(":")[1])
        data = as_session(data)
        left = min(seconds_left({}, signed_at, age), seconds_left(data, signed_at, age))
        return Found(key, data, left, key) if left > 0 else None

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        return Removal.REMOVED

    async def shorten(self, found: Found, seconds: int) -> bool:
        return True

    async def create(self, key: str, new: New) -> Found | None:
        return self._signed(new)

    async def write(self, found: Found, new: New) -> Found | None:
        return self._signed(new)

    def _signed(self, new: New) -> Found:
        cookie = signing.dumps(new.data, salt=SALT, serializer=self.engine.serializer, compress=True)
        return Found(cookie, new.data, new.age, cookie)
