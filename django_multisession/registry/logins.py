"""Where logins on servers and logins in cookies differ for the registry: when they are loaded, and change their key.

On a server the record decides: it is deleted when the session is revoked, and its mark says that there is a row. A
cookie cannot be deleted. With REVOCABLE, each cookie with a login is looked up when it is loaded, and again before it
is sent: in the cache, which knows most of them (verdicts.py), then in the database (cookie_rows.py). If neither
answers, the request is answered with 503, and the browser keeps its cookie. A cookie that a late response brings back
after a logout, or that somebody has copied, is refused by its ``sid``.
"""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..bridge import here
from ..codec import Header
from ..conf import entry
from ..envelope import REGISTERED
from ..exceptions import StoreUnavailable
from ..runtime import cached
from ..sessions.base import MultisessionBase
from ..sessions.cookie import CookieSession
from ..sessions.registration import StoredLogin
from ..stores.base import refuse_in_event_loop
from . import cookie_rows, rows, verdicts
from .database import ask, at
from .models import RegisteredSession


class Logins(Protocol):
    """The logins of one session name. Bodies for both colours."""

    in_cookies: bool

    async def admits(self, row: RegisteredSession, header: Header) -> bool:
        """Tell whether a session with this row may be used; StoreUnavailable if that is not known."""

    async def lives(self, row: RegisteredSession, header: Header) -> bool:
        """Tell whether an admitted session still lives, before its cookie is sent to the browser."""

    async def has_moved(self, row: RegisteredSession) -> bool:
        """Tell whether a session that was not admitted has just got another key."""

    async def rotate(self, left: StoredLogin, row: RegisteredSession) -> str | None:
        """Update the row of the old key from this one; None if it has ended. See rows.py and cookie_rows.py."""

    async def end(self, keys: Iterable[str], *, moved: bool = False) -> None:
        """Make ended sessions be refused at once, as far as possible; ``moved`` ones continue under another key."""


class ServerLogins:
    """Logins with a record on a server."""

    in_cookies = False

    async def admits(self, row: RegisteredSession, header: Header) -> bool:
        since = header.authenticated_at
        return bool(header.flags & REGISTERED) or await ask(partial(rows.admit, row, at(since) if since else None))

    async def lives(self, row: RegisteredSession, header: Header) -> bool:
        return True  # its record was just written

    async def has_moved(self, row: RegisteredSession) -> bool:
        return False  # a record that has moved is a pointer

    async def rotate(self, left: StoredLogin, row: RegisteredSession) -> str | None:
        return await ask(partial(rows.rotate, left.key, row))

    async def end(self, keys: Iterable[str], *, moved: bool = False) -> None:
        pass  # the records are gone


class CookieLogins:
    """The logins in the cookies of one session name. Without REVOCABLE, their rows are only informative."""

    in_cookies = True

    def __init__(self, name: str) -> None:
        self._name = name
        self._verdicts = verdicts.verdicts_of(name) if entry(name).revocable else None

    async def admits(self, row: RegisteredSession, header: Header) -> bool:
        if self._verdicts is None and header.flags & REGISTERED:
            return True
        if here.blocks_a_loop:
            refuse_in_event_loop()
        return await ask(partial(self._admits, row, header))

    def _admits(self, row: RegisteredSession, header: Header) -> bool:
        sid, user, is_marked = row.storage_key, str(row.user_id), bool(header.flags & REGISTERED)
        known = None if self._verdicts is None else self._verdicts.of(sid, user)
        if known is not None:
            return known
        lives = cookie_rows.lives(row)
        if not is_marked:
            # Not remembered in the cache: its row may be rolled back with the caller's transaction.
            since = header.authenticated_at
            return lives or cookie_rows.admit(row, at(since) if since else None)
        if lives and self._verdicts is not None:
            self._verdicts.accept(sid, user)
        return lives

    lives = admits

    async def has_moved(self, row: RegisteredSession) -> bool:
        return await ask(partial(self._has_moved, row))

    def _has_moved(self, row: RegisteredSession) -> bool:
        known = None if self._verdicts is None else self._verdicts.has_moved(row.storage_key)
        return cookie_rows.has_moved(row) if known is None else known

    async def rotate(self, left: StoredLogin, row: RegisteredSession) -> str | None:
        was_marked = bool(left.header.flags & REGISTERED)
        return await ask(partial(cookie_rows.rotate, left.key, row, was_marked=was_marked))

    async def end(self, keys: Iterable[str], *, moved: bool = False) -> None:
        if self._verdicts is not None:
            with suppress(StoreUnavailable):  # already logged
                await verdicts.end(self._name, keys, moved=moved)


def logins_of(session: MultisessionBase) -> Logins:
    """Return the logins of a session's name; ImproperlyConfigured if a cache that they need cannot be used."""
    return _in_cookies(session.session_name) if isinstance(session, CookieSession) else _on_servers


_on_servers = ServerLogins()


@cached
def _in_cookies(name: str) -> CookieLogins:
    return CookieLogins(name)
