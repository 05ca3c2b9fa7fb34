"""The source for our own engines that keep sessions in cookies."""

import os
import time
from contextlib import suppress

from ...codec import Header
from ...conf import Fallback
from ...cookie_codec import CookieContent
from ...cookies import MAX_SIZE
from ...envelope import SKEW
from ...exceptions import InvalidRecord, SessionTooLarge
from ...sessions.config import SessionConfig
from ...sessions.registration import StoredLogin
from ..ours import is_ours
from ..source import BY_ITSELF, Found, New, Removal, Source
from .logins import leave, may_come

_SID_BYTES = 20


class OwnCookieSource(Source):
    """The session in a cookie of the same session name."""

    in_cookies = True
    why_not_scannable = f"its sessions are in the visitors' browsers: {BY_ITSELF}"

    def __init__(self, fallback: Fallback, encrypt: bool) -> None:
        super().__init__(fallback)
        self._config = SessionConfig(fallback.entry)
        self._codec = self._config.cookie_codec(encrypt=encrypt)
        self._bodies = self._config.bodies

    @property
    def name(self) -> str:
        return "the browsers' cookies"

    def accepts(self, key: str) -> bool:
        return is_ours(self._codec, key)

    async def read(self, key: str) -> Found | None:
        content, now = self._codec.decode(key), time.time()
        header, body = content.header, self._bodies.parse(content.plaintext)
        expiry, cookie_age = body.data.get("_session_expiry"), self._config.cookie_age()
        if header.expired(now, SKEW) or self._config.cookie_lifetime.is_over(header, now, expiry, cookie_age):
            return None
        login = StoredLogin(content.sid.hex(), header, body.data.get("_auth_user_id"))
        if not await may_come(self._config.name, login):
            return None
        return Found(
            key,
            body.data,
            age=max(int(header.expires_at - now), 1),
            token=content,
            created_at=header.created_at,
            authenticated_at=header.authenticated_at,
            options=body.options,
        )

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        with suppress(InvalidRecord):  # a cookie that is none of ours has no row
            await leave(self._codec.decode(key).sid.hex())
        return Removal.REMOVED

    async def shorten(self, found: Found, seconds: int) -> bool:
        await leave(found.token.sid.hex(), seconds)
        return True

    async def create(self, key: str, new: New) -> Found | None:
        return self._made(new, os.urandom(_SID_BYTES), 0)

    async def write(self, found: Found, new: New) -> Found | None:
        before: CookieContent = found.token
        return self._made(new, before.sid, before.epoch)

    def _made(self, new: New, sid: bytes, epoch: int) -> Found:
        now = time.time()
        header = Header.new(os.urandom(8), new.created_at, new.authenticated_at, now + new.age, now)
        content = CookieContent(header, sid, epoch, self._bodies.dump(new.options, new.data))
        value = self._codec.encode(content)
        cookie = self._config.cookie_options()
        if len(value) + cookie.overhead() > MAX_SIZE:
            raise SessionTooLarge(
                f"The cookie of session {self._config.name!r} takes {len(value) + cookie.overhead()} bytes; while its "
                f"FALLBACK does not CARRY, one cookie must hold the session, of which browsers keep {MAX_SIZE} bytes."
            )
        return Found(value, new.data, new.age, content, new.created_at, new.authenticated_at, new.options)
