"""The session that lives in the cookie itself, signed or encrypted, without a server."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from ..codec import Header
from ..cookie_codec import CookieCodec, CookieContent
from ..cookies import MAX_SIZE, SURELY_FITS, chunk_name
from ..deadline import in_both_colours
from ..envelope import SKEW
from ..exceptions import InvalidRecord, SessionTooLarge
from ..moving.in_place import session_there
from ..runtime import cached
from . import registering
from .brought import brought
from .carried_cookie import CarriedCookie
from .frames import hiding_frames
from .lifetime import Lifetime, Origin

_SID_BYTES = 20


class CookieSession(CarriedCookie):
    """A session whose key is its content, as in django.contrib.sessions.backends.signed_cookies.

    Nothing here does I/O, unless FALLBACK or REVOCABLE asks a server, so either colour may be used anywhere. Issue
    time, expiry, session name and engine are authenticated: set_expiry() holds even if a browser keeps the cookie for
    longer (Django ticket #19201), and a cookie of another session name, engine or KEY_PREFIX is refused.
    """

    encrypt: ClassVar[bool]
    _is_unreadable = False

    def __new__(cls, session_key: str | None = None) -> Any:
        there = session_there(cls, session_key)
        return super().__new__(cls) if there is None else there

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Not through __new__(): a copy or pickle must have the class of its original.
        return object.__new__, (type(self),), self.__dict__

    def _accepts(self, key: str) -> bool:
        return len(key) >= 8  # the codec finds anything else that is wrong with it

    @classmethod
    def codec(cls) -> CookieCodec:
        """Return the codec of this session name and engine."""
        return _codec(cls)

    async def _load(self) -> dict[str, Any]:
        """Return the data of the cookie; empty, and without a key, if it has expired.

        Also empty, with a line in the log django.security.SuspiciousSession, if the cookie cannot be read: damaged,
        forged, copied from elsewhere, or sealed with an unknown secret.
        """
        self._content = None
        value = self.session_key
        if value is None:
            return {}
        try:
            if self._leads_there(value):
                return await self._carry(value)
            content = self.codec().decode(value)
            body = self.config().bodies.parse(content.plaintext)
            if self._expired(content.header) or self._is_over(content.header, body.data.get("_session_expiry")):
                self._session_key = None
                return {}
        except InvalidRecord as reason:
            await self._reject(reason)
            self._is_unreadable = True
            return {}
        self._content = content
        self._user_before = body.data.get("_auth_user_id")
        if self.registration is not None and not await registering.admit(self):
            await self._refuse()
            self._is_unreadable = True  # the browser may have another cookie by now, which must not be deleted
            return {}
        if body.options:
            self.cookie_changes().loaded(body.options)
        return body.data

    load, aload = in_both_colours(_load)

    async def _save(self, must_create: bool = False) -> None:
        """Make the cookie's value, which becomes the session key; the middleware sends it.

        Raises SessionTooLarge if the cookie would exceed what browsers keep, and SessionNotSerializable for a value
        that cannot be kept; the session key is then as it was.
        """
        data = await self._data(no_load=must_create)
        if self._is_unreadable and not data:
            return  # in a rolling deploy with a new secret, another process can still read the cookie
        if self._moved is not None:
            self._let_newer_cookie_be(data)
        previous = self._content
        if must_create:
            self._begin()
        is_new = must_create or previous is None or self._loses_user(data)
        self._issue(data, sid=None if is_new or previous is None else previous.sid)
        if self._carried is not None:
            await self._leave_there(self._carried)

    save, asave = in_both_colours(_save)

    async def _create(self) -> None:
        """Make a cookie's value with a new identity (sid)."""
        self._begin()
        self._issue(await self._data(no_load=True), sid=None)

    create, acreate = in_both_colours(_create)

    async def _cycle_key(self) -> None:
        """Give the session a new identity (sid). Without REVOCABLE, the old cookie stays valid until it expires."""
        self._issue(await self._data(), sid=None)

    cycle_key, acycle_key = in_both_colours(_cycle_key)

    async def _delete(self, session_key: str | None = None) -> None:
        """Empty this session, so that the middleware deletes its cookie; other cookies cannot be deleted."""
        if session_key in (None, self.session_key):
            self._tell_of_end()
            self._session_key = None
            self._session_cache: dict[str, Any] = {}
            self._content = None
            self._is_unreadable = False
            self.modified = True
            await self._end_there()

    delete, adelete = in_both_colours(_delete)

    @hiding_frames
    def validate(self) -> None:
        data = self._get_session()
        if data or not self._is_unreadable:
            self._seal(data, sid=None)

    @classmethod
    def joined(cls, cookies: Mapping[str, str]) -> str | None:
        """Return the value of this session's cookie in a request, its chunks joined; None if there is none."""
        config = cls.config()
        return brought(config, cookies, config.entry.chunks)

    def clear(self) -> None:
        """Empty the session. It is loaded first, for the options under which its cookie must be replaced or deleted."""
        self._get_session()
        super().clear()
        self._is_unreadable = False

    def exists(self, session_key: str) -> bool:
        """Return False: no key is ever taken, since it is the content."""
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
        self._session_key, content = self._seal(data, sid)
        if self._content is not None and self._content.sid != content.sid:
            self._left = self._left or self._content.sid.hex()
        self._content = content
        self._is_unreadable = False
        self._user_before = data.get("_auth_user_id")
        if self._changes is not None:
            self._changes.saved(self._changes.all())
        self.modified = True

    def _seal(self, data: dict[str, Any], sid: bytes | None) -> tuple[str, CookieContent]:
        """Return the cookie's value and its content; SessionTooLarge if browsers would not keep it."""
        previous, config = self._content, self.config()
        draft = self._draft(data, self._user_before)
        before, users = previous and previous.header, (data.get("_auth_user_id"), self._user_before)
        age = draft.age if self._carried is None else self._age_left(self._carried, draft)
        content = CookieContent(
            header=Header.continuing(before, draft.now, age, users, registers=draft.is_registered),
            sid=sid or os.urandom(_SID_BYTES),
            epoch=0 if previous is None else previous.epoch,
            plaintext=config.bodies.dump(draft.options, data),
        )
        value = self.codec().encode(content)
        needed, allowed = 1 if len(value) <= SURELY_FITS else len(self._split(value)), config.entry.chunks
        if needed > allowed:
            size = len(value) + self.cookie().overhead()
            raise SessionTooLarge(
                f"The cookie of session {self.session_name!r} takes {size} bytes; browsers keep at most {MAX_SIZE} "
                f"for name, value and attributes, and CHUNKS allows {allowed} of them. {config.bodies.largest(data)}. "
                "Store less, raise CHUNKS, or use a server's engine."
            )
        return (self.codec().encode(content, needed) if needed > 1 else value), content

    def adopt_sid(self, key: str) -> None:
        self._issue(self._session_cache, bytes.fromhex(key))

    @property
    def unreadable(self) -> bool:
        return self._is_unreadable

    def _lifetime(self) -> Lifetime:
        return self.config().cookie_lifetime

    def _origin(self) -> Origin:
        return Origin(self._content and self._content.header, self._user_before)

    def _is_over(self, header: Header, expiry: Any) -> bool:
        return self._lifetime().is_over(header, self.clock(), expiry, self.get_session_cookie_age())

    def _expired(self, header: Header) -> bool:
        now = self.clock()
        if now < header.expires_at:
            return False
        # No server's clock decides here, so clocks may differ by SKEW; but a short-lived session gets less grace than
        # that (decisions.md, D3).
        lifetime = max(header.expires_at - header.issued_at, 0)
        return now >= header.expires_at + min(SKEW, lifetime // 8)


@cached
def _codec(cls: type[CookieSession]) -> CookieCodec:
    return cls.config().cookie_codec(encrypt=cls.encrypt)
