"""What a session in a cookie tells of itself to its Registration: its sid stands for the key that it has not."""

from collections.abc import Mapping
from typing import Any

from ..bridge import driven
from ..codec import CookieContent
from ..deadline import in_both_colours
from ..exceptions import StoreUnavailable
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

    async def _data(self, no_load: bool = False) -> dict[str, Any]:
        return self._get_session(no_load) if driven() else await self._aget_session(no_load)

    async def _flush(self) -> None:
        """End the session; the browser's cookie goes, even if nobody can be asked what has become of it.

        Raises StoreUnavailable then.
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

    def _tell_of_end(self) -> None:
        """Tell of a login that ends, also one that nobody could be asked about."""
        standing, left = self.standing(), self._left
        if self.registration is not None and standing is not None and standing.user is not None:
            self.registration.left([standing.key] if left is None else [standing.key, left])
        self._left = None

    def _loses_user(self, data: Mapping[str, Any]) -> bool:
        """Tell whether the user is another one than before: who has a copy of the old cookie is not to go on as him."""
        return self.registration is not None and self._user_before not in (None, data.get("_auth_user_id"))

    def _begin(self) -> None:
        if self.registration is not None:
            self.registration.begins()
            self._left = self._content = None
