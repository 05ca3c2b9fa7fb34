"""What a session in a cookie tells of itself to its Registration: its sid stands for the key that it has not."""

from typing import Any

from ..codec import CookieContent
from .base import MultisessionBase
from .registration import Standing


class FollowedCookie(MultisessionBase):
    """A session object whose content is in a cookie."""

    _content: CookieContent | None = None
    _user_before: Any = None
    _left: str | None = None
    """The sid that the session had before it was given another."""

    def standing(self) -> Standing | None:
        content = self._content
        return content and Standing(content.sid.hex(), content.header, self._user_before)

    def forget_user(self) -> None:
        self._user_before = None

    @property
    def leaves(self) -> str | None:
        return self._left

    async def restamp(self, *, registers: bool = False) -> bool:
        # Not to tell when the session was seen: it would overwrite what another response has put into the cookie.
        self.modified = self.modified or registers
        return False

    async def withdraw(self) -> None:
        self._session_cache, self._content = {}, None

    def _begin(self) -> None:
        if self.registration is not None:
            self.registration.begins()
            self._left = self._content = None
