"""One session at the end of its request, with one interface for ours and for those of other engines."""

from typing import cast

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from ..bridge import driven, maybe_await
from ..conf import DEFAULT
from ..cookies import CookieOptions, cookie_options
from ..exceptions import StoreUnavailable
from ..sessions import registering
from ..sessions.base import MultisessionBase
from ..sessions.exceptions import SessionEnded
from ..sessions.key_change import abandon, commit
from ..sessions.rolled_back import end_again, was_rolled_back
from ..sessions.server import ServerSession
from ..sessions.state import State
from .ownership import ownership_of


class Handle:
    """Calls a session in the colour of the caller, and makes up for what another engine's session lacks."""

    __slots__ = ("is_saved", "ours", "ownership", "request", "server", "session")

    def __init__(self, session: SessionBase, request: HttpRequest | None = None) -> None:
        self.session = session
        self.request = request
        self.ours = session if isinstance(session, MultisessionBase) else None
        self.server = session if isinstance(session, ServerSession) else None
        self.ownership = ownership_of(session)
        self.is_saved = False

    @property
    def outage(self) -> StoreUnavailable | None:
        """The outage that the session has met in this request."""
        return None if self.ours is None else self.ours.outage

    @property
    def is_ended(self) -> bool:
        """Whether the session and its cookie must end with this response."""
        has_left = self.ownership is not None and self.ownership.left is not None
        return has_left or (self.ours is not None and self.ours.ends)

    async def is_dirty(self) -> bool:
        """Tell whether the session must be saved. That loads it: it may turn out to be gone."""
        if self.is_ended or not (self.session.modified or settings.SESSION_SAVE_EVERY_REQUEST or self._is_used()):
            return False
        await self.expires_with_browser()
        if self.server is not None and self.server.state is State.ANONYMOUS and not self.session.modified:
            return False
        return not self.session.is_empty()

    def _is_used(self) -> bool:
        """Tell whether this request counts as use, and so restarts an IDLE_TIMEOUT."""
        if not self.session.accessed or self.ours is None:
            return False
        return self.ours.config().entry.idle_timeout is not None

    async def expires_with_browser(self) -> bool:
        """Tell whether the cookie must end with the browser."""
        session = self.session
        return await maybe_await(
            session.get_expire_at_browser_close() if driven() else session.aget_expire_at_browser_close()
        )

    async def expiry_age(self) -> int:
        """Return the cookie's age in seconds."""
        session = self.session
        return await maybe_await(session.get_expiry_age() if driven() else session.aget_expiry_age())

    async def end(self) -> None:
        """End the session; what was written after a logout is saved as a new one."""
        written = {} if self.ownership is None else self.ownership.take_written()
        if driven():
            self.session.flush()
        else:
            await self.session.aflush()
        if written:
            if driven():
                self.session.update(written)
            else:
                await self.session.aupdate(written)
            await self.save()

    async def end_again(self) -> None:
        """End again what the view has logged out, in case its transaction was rolled back."""
        if self.server is not None:
            await end_again(self.server)

    async def _renew(self, session: MultisessionBase) -> None:
        """Give a session whose user has logged in again a new key, and its login the present time."""
        session.is_login_renewed = False
        session.login.forget_user()
        await self._change_key(session)

    async def _change_key(self, session: MultisessionBase) -> None:
        if driven():
            session.cycle_key()
        else:
            await session.acycle_key()

    def _is_known_elsewhere(self, session: ServerSession) -> bool:
        """Tell whether the key of a visitor's session came with the request, so that somebody may have planted it."""
        was_brought = session.brought_key is not None and session.session_key is not None
        can_move = session.state in (State.LOADED, State.CLEARED) and not session.has_rotated
        return was_brought and can_move and not getattr(self.request, "is_answered", False)

    async def see(self) -> None:
        """Have the session's use written down."""
        if self.ours is not None and self.ours.registration is not None:
            await registering.see(self.ours)

    async def close(self) -> None:
        """Have the sessions that have ended written down."""
        if self.ours is not None and self.ours.registration is not None:
            await registering.close(self.ours)

    async def settle(self) -> None:
        """Prepare a session that ends with the login, if somebody has logged in; see Ownership.settle()."""
        if self.ownership is not None:
            await self.ownership.settle()

    async def save(self) -> None:
        """Save the session, and end its old key if it has a new one; if that fails, undo all of it."""
        session, server = self.session, self.server
        if server is not None and server.session_key != server.brought_key and await was_rolled_back(server):
            # The view has rolled the new session back: it must not be saved, and the response goes out as it is.
            await self.abandon()
            return
        was_a_visitors = self.ownership is not None and await self.ownership.claim()
        is_changed = session.modified
        try:
            if self.ours is not None and self.ours.is_login_renewed:
                await self._renew(self.ours)
            elif was_a_visitors and server is not None and self._is_known_elsewhere(server):
                await self._change_key(server)  # as a login does with the default session
            if driven():
                session.save()
            else:
                await session.asave()
            if self.ours is not None and self.ours.registration is not None:
                await registering.register(self.ours)
            if server is not None and server.has_rotated:
                await commit(server)
        except BaseException as error:
            if self.ours is not None:
                await registering.undo(self.ours)
            await self.abandon()
            if isinstance(error, SessionEnded) and self.server is None and not is_changed:
                return  # an unchanged cookie that was only to be prolonged has been revoked: nothing is lost
            raise
        self.is_saved = await self._is_to_be_sent()

    async def abandon(self) -> None:
        """Leave the session under the key that it had before, as the response saves nothing."""
        if self.server is not None and self.server.has_rotated:
            await abandon(self.server)

    @property
    def is_to_be_deleted(self) -> bool:
        """Whether the browser must delete the cookie, since this request has ended or emptied the session.

        A key without a session is no reason: the browser may have another cookie by now, after a logout and a login in
        other requests.
        """
        is_gone = self.server is not None and self.server.state is State.GONE
        return self.session.is_empty() and not is_gone

    async def _is_to_be_sent(self) -> bool:
        """Tell whether the cookie must be sent to the browser.

        With the key that the request brought, only if the session is known to live: another response may have brought
        the browser a new key meanwhile.
        """
        if self.ours is None:
            return True
        key = self.session.session_key
        if self.ours.unreadable or key is None:
            return False
        if self.server is None or self.server.life.written or key != self.server.brought_key:
            return True
        if not settings.SESSION_SAVE_EVERY_REQUEST:
            return False
        try:
            return await maybe_await(self.server.exists(key) if driven() else self.server.aexists(key))
        except StoreUnavailable:
            return False  # nothing was written; the cookie stays as it is

    # Its cookie.

    def cookie(self) -> CookieOptions:
        """Return the options that the cookie has in this response."""
        return cookie_options(DEFAULT, self.request) if self.ours is None else self.ours.cookie()

    def cookie_at_load(self) -> CookieOptions:
        """Return the options under which the browser holds the cookie."""
        return cookie_options(DEFAULT, self.request) if self.ours is None else self.ours.cookie_at_load()

    def cookie_parts(self) -> list[str]:
        """Return the values of the cookie and of its chunks."""
        return [cast(str, self.session.session_key)] if self.ours is None else self.ours.cookie_parts()
