"""The registry's Registration: it writes a row for what a session object loads, saves, moves and ends.

In a request, rows are written at its end: after the view's transaction and the new record, but before the old record
ends and a cookie is sent. Outside of requests they are written at once, or when the caller's transaction commits; until
then the record has no mark, so that its row is checked when it is loaded.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

from django.db import DatabaseError

from ..breaker import warn
from ..bridge import driven
from ..conf import entry
from ..envelope import REGISTERED
from ..exceptions import StoreUnavailable
from ..sessions.exceptions import SessionEnded
from ..sessions.registration import StoredLogin
from ..sessions.rotation import RotationOutcome
from . import pending, rows, signals
from .database import ask, at, in_transaction
from .logins import logins_of
from .models import RegisteredSession
from .new_rows import row_of
from .pending import Key
from .policy import LENGTHENED, is_due
from .starting import Start


class Rotated(NamedTuple):
    """A change of key: the row with its new key, the key before it (``left``), and the key that the row ``had``."""

    row: RegisteredSession
    left: str
    had: str


class Following:
    """The Registration of one session object; see sessions/registration.py."""

    def __init__(self, session: Any) -> None:
        self.name: str = session.session_name
        self._logins = logins_of(session)
        self._request: ReferenceType[Any] | None = None
        self.known: StoredLogin | None = None
        """The login that has a row, as it was last loaded or saved."""
        self.description: dict[str, str] = {}
        """Further fields for the row of this login; see describe()."""
        self._began_inside = False
        self.is_sure = True
        self.start = Start(self.name)
        self.has_moved = False
        self._rotated: Rotated | None = None
        self._ended: list[str] = []
        self._unsure: list[str] = []
        self._aside: tuple[str, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy or pickle of a session does not belong to the request.
        return {**self.__dict__, "_request": None}

    def opened_for(self, request: Any) -> None:
        self._request, self._began_inside = ref(request), in_transaction()

    def _is_safe(self) -> bool:
        """Tell whether a row that is written now is kept if the view's transaction (not TestCase's) is rolled back."""
        return self._logins.in_cookies or self._began_inside or not in_transaction()

    @property
    def request(self) -> Any:
        """The request that the session was opened for; None outside of requests."""
        return None if self._request is None else self._request()

    @property
    def marks(self) -> bool:
        # In an event loop it is not known whether the connection's thread is in a transaction.
        return self._request is not None or (driven() and not (self._logins.in_cookies or in_transaction()))

    # Loading.

    async def admits(self, found: StoredLogin) -> bool:
        row = self._row(found)
        if row is None:
            return True  # nobody is logged in, or no user of this project
        if await self._logins.admits(row, found.header):
            self.known = found
            self.is_sure = bool(found.header.flags & REGISTERED) or self._is_safe()
            return True
        self.has_moved = await self._logins.has_moved(row)
        await self._tell(signals.session_rejected, user_id=row.user_id, reason="revoked")
        return False

    async def rejected(self, reason: str) -> None:
        await self._tell(signals.session_rejected, user_id=None, reason=reason)

    # Saving.

    def begin_anew(self) -> None:
        self.known = None

    async def saved(self, now: StoredLogin, left: str | None) -> str | None:
        known, row = self.known, self._row(now)
        if row is None:
            if known is not None:  # the user was removed from the session
                self.will_end(known.key)
                self.ended([known.key])
            self.known = None
            return None
        if known is not None and known.user != now.user and known.key != now.key:
            self.ended([known.key])
        if known is not None and known.user == now.user and not self.is_sure:
            # Its row was written in a transaction, and may have been rolled back.
            self.is_sure = await self._logins.admits(self._row(known) or row, known.header)
            if not self.is_sure:
                raise self._revoked()
        if known is None or known.user != now.user:
            return await self._begin(row, now, left or "")
        if known.key == now.key:
            await self._use(row, known, now)
        elif left is None:
            return None  # another request has changed the key and the row, and this one's changes were merged there
        elif (had := await self._logins.rotate(known, row)) is None:
            raise self._revoked()
        elif self._logins.in_cookies and had != now.key:
            self.known = now._replace(key=had)
            return had
        else:
            self._rotated = Rotated(row, known.key, had)
        self.known = now
        return None

    async def _begin(self, row: RegisteredSession, now: StoredLogin, left: str) -> str | None:
        row.previous_key = left
        if self._request is None and await self.start.waits_with(row, partial(setattr, self, "known", now)):
            return None
        await self.close(successor=row.user_id)  # first, so that what this request has ended counts for no limit
        if (key := await self.start.write(row, in_cookie=self._logins.in_cookies)) is None:
            raise self._revoked()
        self.known = now._replace(key=key)
        return None if key == now.key else key

    async def _use(self, row: RegisteredSession, known: StoredLogin, now: StoredLogin) -> None:
        if not await self._logins.lives(row, known.header):
            raise self._revoked()
        is_longer = now.header.expires_at > known.header.expires_at + LENGTHENED
        was_written = now.header.version != known.header.version
        if was_written and (is_longer or self.is_due(known, now.header.issued_at)) and not await self._touch(row):
            raise self._revoked()

    async def settled(self, now: StoredLogin, outcome: RotationOutcome) -> None:
        mine, started, rotated, self._rotated = self.known, self.start.take(), self._rotated, None
        if outcome.unsure:
            left = [Key(self.name, key) for key in outcome.unsure]
            await self._try(partial(rows.leave, left, "" if mine is None else mine.key))
        if mine is not None and mine.key != now.key:
            # Of two concurrent logins or changes of the key, this one has joined the other.
            self.known = now
            if rotated is not None:
                await self._try(partial(rows.move, mine.key, now.key))
            if started is not None:
                await self._try(partial(rows.forget, started))
            return
        if rotated is not None:
            if outcome.is_contended and await ask(partial(rows.rotate, rotated.left, rotated.row)) is None:
                raise self._revoked()
            await self._logins.end([rotated.left], moved=True)
            await self._tell(signals.session_rotated, row=rotated.row, user_id=rotated.row.user_id)
        if started is not None:
            await self.start.evict(started, self._tell)
            await self._tell(signals.session_started, row=started, user_id=started.user_id)

    async def undo(self) -> None:
        started, rotated, self._rotated = self.start.take(), self._rotated, None
        if started is not None:
            await self._try(partial(rows.forget, started))
        if rotated is not None:
            await self._try(partial(rows.move, rotated.row.storage_key, rotated.had))

    # Use.

    def is_due(self, now: StoredLogin, moment: float) -> bool:
        if self.known is None or now.key != self.known.key or not now.header.flags & REGISTERED:
            return False
        return is_due(now.key, now.header.issued_at, moment)

    async def note_use(self, now: StoredLogin) -> bool:
        row = self._row(now)
        return row is None or await self._touch(row)

    async def _touch(self, row: RegisteredSession) -> bool:
        """Write down the use; tell whether the session may go on. In an outage it may, until the next write is due."""
        try:
            return await ask(partial(rows.touch, row))
        except (StoreUnavailable, DatabaseError):
            return True

    # The end.

    def will_end(self, key: str) -> None:
        self._unsure.append(key)

    def ended(self, keys: Iterable[str]) -> None:
        gone = list(keys)
        # A session that is where its FALLBACK says is not known here, and may have a row from before.
        comes = entry(self.name).fallback is not None
        if self.known is not None or self._logins.in_cookies or len(gone) > 1 or comes:
            self._ended += gone
        if self.known is not None and self.known.key in gone:
            self.known = None
        self.description = {}
        self.start.forget(gone)
        self._unsure = [key for key in self._unsure if key not in gone]

    def set_aside(self, key: str, until: float) -> None:
        self._aside, self.known, self.description = (key, until), None, {}

    async def close(self, successor: Any = None) -> None:
        aside, ended, unsure = self._aside, self._ended, self._unsure
        self._aside, self._ended, self._unsure = None, [], []
        if aside is not None:
            await self._try(partial(rows.expire, aside[0], at(aside[1])))
        if unsure:
            await self._try(partial(pending.add, [Key(self.name, key) for key in unsure]))
        if keys := dict.fromkeys([*ended, *unsure]):
            tells = self.has_moved or signals.session_ended.has_listeners(RegisteredSession)
            gone = await self._try(partial(rows.end, keys, tells=tells)) or ()
            for row in gone:
                reason = "logout" if successor in (None, row.user_id) else "replaced"
                await self._tell(signals.session_ended, row=row, user_id=row.user_id, reason=reason)
            await self._logins.end([*keys, *(row.storage_key for row in gone)])

    async def _try(self, query: Any) -> Any:
        """Run a query that must not fail the request, since the store has already ended the session."""
        try:
            return await ask(query)
        except (StoreUnavailable, DatabaseError) as error:
            warn("The registry could not be written: %s", error)
            return None

    def _row(self, now: StoredLogin) -> RegisteredSession | None:
        return row_of(self.name, now, self.request, self.description)

    def _revoked(self) -> SessionEnded:
        return SessionEnded(f"Session {self.name!r} was revoked meanwhile.")

    async def _tell(self, signal: Any, **arguments: Any) -> None:
        await signals.send(signal, session_name=self.name, request=self.request, **arguments)
