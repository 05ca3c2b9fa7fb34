"""A session in a cookie, whose visitor may still have the cookie of the place before: see moving/into_cookies.py."""

from typing import Any

from ..cookie_codec import CookieCodec
from ..moving.into_cookies import Carried
from ..moving.ours import is_ours
from . import registering
from .assembly import former_of
from .body import NONE
from .cookie_login import CookieLogin
from .draft import Draft
from .exceptions import SessionEnded


class CarriedCookie(CookieLogin):
    """A session object whose cookie may still be that of the engine which FALLBACK names."""

    _is_unreadable = False
    _carried: Carried | None = None
    """The session that was found there, until its new cookie is made."""

    @classmethod
    def codec(cls) -> CookieCodec:
        """Return the codec of this session name and engine."""
        raise NotImplementedError

    def _leads_there(self, value: str) -> bool:
        former = former_of(type(self))
        return former is not None and former.accepts(value) and not is_ours(self.codec(), value)

    async def _carry(self, value: str) -> dict[str, Any]:
        """Return the data of a session that is there, and continue it as if this cookie had held it."""
        former = former_of(type(self))
        self._carried = None if former is None else await former.look(value)
        if self._carried is None:
            self._is_unreadable = True  # the browser may have another cookie by now, which must not be deleted
            return {}
        self._content = self._carried.content()
        data = self._carried.found.data
        self._user_before = data.get("_auth_user_id")
        self.cookie_changes().loaded(self._carried.options)
        self.modified = True
        if await registering.admit(self):
            return data
        await self._end_there()
        await self.withdraw()
        self._is_unreadable = True
        return {}

    def _age_left(self, carried: Carried, draft: Draft) -> int:
        """Return how many seconds a carried session lives: an unchanged one as long as it would have lived there."""
        return carried.age(draft.age, self.config().bodies.dump(NONE, draft.data))

    async def _leave_there(self, carried: Carried) -> None:
        """Let the session end there, now that its new cookie is made; SessionEnded if it was ended meanwhile."""
        former, self._carried = former_of(type(self)), None
        if former is not None and not await former.leave(carried):
            raise SessionEnded(f"Session {self.session_name!r} was deleted meanwhile.")

    async def _end_there(self) -> None:
        former, self._carried = former_of(type(self)), None
        if former is not None and self._changes is not None:
            await former.end(self._changes.stored)
