"""SessionStore that lives in the cookie itself, signed or encrypted: no server, and nothing to revoke on one."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from ..codec import CookieCodec, CookieContent
from ..cookies import MAX_SIZE, chunk_name, cookie_options
from ..envelope import SKEW, Header
from ..exceptions import InvalidRecord, SessionTooLarge
from ..runtime import cached
from .base import MultisessionBase

_SID_BYTES = 20


class CookieSession(MultisessionBase):
    """A session whose key is its content, as in django.contrib.sessions.backends.signed_cookies.

    Nothing here does I/O, so that both colours may use either. Issue time, expiry, session name and engine are
    authenticated: set_expiry() holds even if a browser keeps the cookie longer (Django ticket #19201), and a cookie
    of another session name, engine or KEY_PREFIX is refused.
    """

    encrypt: ClassVar[bool]
    _content: CookieContent | None = None

    @classmethod
    def codec(cls) -> CookieCodec:
        """Return the codec of this session name and engine."""
        return _codec(cls)

    def load(self) -> dict[str, Any]:
        """Return the data of the cookie; empty, and without a key, if it has expired.

        Empty as well, with a line in the log django.security.SuspiciousSession, if it is not as we wrote it.
        """
        self._content = None
        value = self.session_key
        if value is None:
            return {}
        try:
            content = self.codec().decode(value, limit=MAX_SIZE * self.entry().chunks)
            if self._expired(content.header):
                self._session_key = None
                return {}
            data = self._take(content.plaintext)
        except InvalidRecord as reason:
            return self._reject(reason)
        self._content = content
        return data

    async def aload(self) -> dict[str, Any]:
        """See load()."""
        return self.load()

    def save(self, must_create: bool = False) -> None:
        """Make the cookie's value, which becomes the session key; the middleware sends it.

        Raises SessionTooLarge if the cookie would exceed what browsers keep, and SessionNotSerializable for a value
        that cannot be kept; the session key is then as it was.
        """
        data = self._get_session(no_load=must_create)
        if self._unreadable and not data:
            return  # the cookie stays for the process that can read it, as in a rolling deploy with a new secret
        previous = self._content
        self._issue(data, sid=None if must_create or previous is None else previous.sid)

    async def asave(self, must_create: bool = False) -> None:
        """See save()."""
        self.save(must_create)

    def create(self) -> None:
        """Make a cookie's value with an identity of its own."""
        self._issue(self._get_session(no_load=True), sid=None)

    async def acreate(self) -> None:
        """See create()."""
        self.create()

    def cycle_key(self) -> None:
        """Give the session a new identity. The old cookie stays valid until it expires: nobody can revoke it."""
        self._issue(self._get_session(), sid=None)

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        self.cycle_key()

    def delete(self, session_key: str | None = None) -> None:
        """Empty this session, so that the middleware deletes its cookie; other cookies are out of reach."""
        if session_key in (None, self.session_key):
            self._session_key = None
            self._session_cache: dict[str, Any] = {}
            self._content = None
            self._unreadable = False
            self.modified = True

    async def adelete(self, session_key: str | None = None) -> None:
        """See delete()."""
        self.delete(session_key)

    def prepare(self) -> None:
        data = self._get_session()
        if data or not self._unreadable:
            self._seal(data, sid=None)

    @classmethod
    def joined(cls, cookies: Mapping[str, str]) -> str | None:
        """Return the value that a request's cookies hold for this session, its chunks put together."""
        name = cls.cookie_options().name
        first = cookies.get(name)
        chunks = cls.entry().chunks
        if first is None or chunks == 1 or len(name) + len(first) > MAX_SIZE:
            return first  # the last is what no browser keeps, but Django's test client
        rest = (cookies.get(chunk_name(name, index), "") for index in range(1, min(CookieCodec.chunks(first), chunks)))
        return first + "".join(rest)

    def clear(self) -> None:
        """Empty the session. It is read first, without I/O: its cookie must be replaced or deleted where it is."""
        self._get_session()
        super().clear()
        self._unreadable = False

    def exists(self, session_key: str) -> bool:
        """Return False: no key is taken, for it is the content."""
        return False

    async def aexists(self, session_key: str) -> bool:
        """See exists()."""
        return False

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: browsers remove their cookies."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """See clear_expired()."""

    def cookie_parts(self) -> list[str]:
        """Return the values of the cookie and its chunks, each as long as browsers allow."""
        return self._split(self.session_key or "")

    def _split(self, value: str) -> list[str]:
        if not self.options() and len(value) <= _room(self.session_name):
            return [value]
        cookie = self.cookie()
        parts: list[str] = []
        while value or not parts:
            room = MAX_SIZE - cookie.overhead(chunk_name(cookie.name, len(parts)))
            if room <= 0:
                raise SessionTooLarge(f"The attributes of cookie {cookie.name!r} leave no room for the session.")
            parts.append(value[:room])
            value = value[room:]
        return parts

    def _issue(self, data: dict[str, Any], sid: bytes | None) -> None:
        self._session_key, self._content = self._seal(data, sid)
        self._unreadable = False
        self._loaded_user = data.get("_auth_user_id")
        self._settle_options()
        self.modified = True

    def _seal(self, data: dict[str, Any], sid: bytes | None) -> tuple[str, CookieContent]:
        """Return the cookie's value and what is in it; SessionTooLarge if browsers would not keep it."""
        previous = self._content
        content = CookieContent(
            header=self._header(data, int(self.get_expiry_age()), previous and previous.header),
            sid=sid or os.urandom(_SID_BYTES),
            epoch=0 if previous is None else previous.epoch,
            plaintext=self._dump(data),
        )
        value = self.codec().encode(content)
        needed, allowed = len(self._split(value)), self.entry().chunks
        if needed > allowed:
            size = len(value) + self.cookie().overhead()
            raise SessionTooLarge(
                f"The cookie of session {self.session_name!r} takes {size} bytes; browsers keep at most {MAX_SIZE} "
                f"for name, value and attributes, and CHUNKS allows {allowed} of them. {self._largest(data)}. "
                "Store less, raise CHUNKS, or use a server's engine."
            )
        return (self.codec().encode(content, needed) if needed > 1 else value), content

    def _expired(self, header: Header) -> bool:
        now = self.clock()
        if now < header.expires_at:
            return False
        # No server's clock decides here. What is short-lived on purpose gets less grace than clocks may differ.
        lifetime = max(header.expires_at - header.issued_at, 0)
        return now >= header.expires_at + min(SKEW, lifetime // 8)


@cached
def _room(name: str) -> int:
    return MAX_SIZE - cookie_options(name).overhead()


@cached
def _codec(cls: type[CookieSession]) -> CookieCodec:
    entry = cls.entry()
    if entry.encrypt and not cls.encrypt:
        raise ImproperlyConfigured(
            f"MULTISESSION[{entry.name!r}]['ENCRYPT'] is True, but its engine signs and does not encrypt. "
            'Use "django_multisession.engines.encrypted_cookies".'
        )
    return CookieCodec(cls.keyring(), encrypt=cls.encrypt, compress=entry.compress)
