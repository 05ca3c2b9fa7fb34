"""The login of a session in a cookie, for registering.py: the cookie's sid serves as its storage key."""

from collections.abc import Mapping
from typing import Any

from ..bridge import driven, here
from ..cookie_codec import CookieContent
from ..deadline import in_both_colours
from ..exceptions import StoreUnavailable
from .base import MultisessionBase
from .exceptions import SessionEnded
from .registration import Login, StoredLogin


class CookieLogin(MultisessionBase):
    """A session object whose content is in a cookie; at the same time its own Login."""

    _content: CookieContent | None = None
    _user_before: Any = None
    _left: str | None = None
    """The sid that the session had before it was given a new one."""
    _moved: str | None = None
    """The sid of a cookie that was refused, since a change of key has just replaced it."""

    @property
    def login(self) -> Login:
        return self

    def stored_login(self) -> StoredLogin | None:
        content = self._content
        return content and StoredLogin(content.sid.hex(), content.header, self._user_before)

    def forget_user(self) -> None:
        self._user_before = None

    @property
    def previous_key(self) -> str | None:
        return self._left

    def adopt_sid(self, key: str) -> None:
        raise NotImplementedError

    async def restamp(self, *, registers: bool = False) -> bool:
        # Not for the time of the last use: the new cookie would replace one that another response has just set.
        self.modified = self.modified or registers
        return False

    async def _data(self, no_load: bool = False) -> dict[str, Any]:
        return self._get_session(no_load) if here.driven else await self._aget_session(no_load)

    async def _flush(self) -> None:
        """End the session; the browser's cookie is deleted even if the registry cannot be asked about it.

        Raises StoreUnavailable in that case.
        """
        try:
            await self._data()
        except StoreUnavailable:
            self._session_cache = {}
            raise
        finally:
            self.clear()
            if driven():
                self.delete()
            else:
                await self.adelete()

    flush, aflush = in_both_colours(_flush)

    async def withdraw(self) -> None:
        self._session_cache, self._content = {}, None

    async def _refuse(self) -> None:
        """Forget the content of a cookie that may not be used."""
        if self._content is not None and self.registration is not None and self.registration.has_moved:
            self._moved = self._content.sid.hex()
        await self.withdraw()

    def _let_newer_cookie_be(self, data: Mapping[str, Any]) -> None:
        """Raise SessionEnded if a cookie with this data would replace the newer one that a change of key has set."""
        if "_auth_user_id" not in data:
            raise SessionEnded(f"Session {self.session_name!r} goes on in a newer cookie.")

    def _tell_of_end(self) -> None:
        """Report to the Registration the login that ends, under its present sid and its former ones."""
        standing = self.stored_login()
        sids = [] if standing is None or standing.user is None else [standing.key]
        gone = [*sids, *filter(None, (self._left if sids else None, self._moved))]
        if self.registration is not None and gone:
            self.registration.ended(gone)
        self._left = self._moved = None

    def _loses_user(self, data: Mapping[str, Any]) -> bool:
        """Tell whether the user is another one than before, which needs a new sid: the old cookie may be copied."""
        return self.registration is not None and self._user_before not in (None, data.get("_auth_user_id"))

    def _begin(self) -> None:
        if self.registration is not None:
            self.registration.begin_anew()
            self._left = self._content = None
