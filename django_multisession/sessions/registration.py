"""What an application over all of this is told of logins, and what it may refuse; see django_multisession.registry.

Nothing here knows that application: it puts a function into ``registrations``, and each session object then has a
Registration of its own. Without it there is none, and nothing is asked.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

from ..codec import Header
from ..exceptions import InvalidRecord
from .rotation import RotationOutcome
from .unreadable import report_unreadable


class StoredLogin(NamedTuple):
    """What is stored of a session: ``key`` is its storage key, or the sid of a cookie, and ``user`` its user's id."""

    key: str
    header: Header
    user: str | None


class Registration(Protocol):
    """Follows the logins of one session object. Bodies for both colours; what is no coroutine does no I/O."""

    def opened_for(self, request: Any) -> None:
        """Take note of the request that the session is opened for."""

    has_moved: bool
    """Whether the cookie of a session that may not be used was just left behind by a change of key."""

    @property
    def marks(self) -> bool:
        """Whether a login that is saved now has its row before anybody learns of its key."""

    @property
    def is_sure(self) -> bool:
        """Whether the row of what was admitted stays whatever becomes of the caller's transaction."""

    async def admits(self, found: StoredLogin) -> bool:
        """Tell whether a session that was just loaded may be used, and go on with it."""

    async def rejected(self, reason: str) -> None:
        """Take note of what was not taken for a session: "forged" or "unreadable"."""

    def begin_anew(self) -> None:
        """Take note that what is saved next is a session of its own, and continues none."""

    async def saved(self, now: StoredLogin, left: str | None) -> str | None:
        """Write down what was saved; ``left`` is the storage key that a change of key leaves behind.

        Returns the ``sid`` under which a cookie has to go on, since another request has changed it at the same time.
        Raises SessionEnded if the session was revoked meanwhile, and StoreUnavailable if it cannot be written down:
        then the record must go.
        """

    async def settled(self, now: StoredLogin, outcome: RotationOutcome) -> None:
        """Take note under which key the session goes on, once the old one has ended.

        Raises SessionEnded if the session was revoked meanwhile.
        """

    async def undo(self) -> None:
        """Take back what saved() has begun: nobody learns of the key."""

    def is_due(self, now: StoredLogin, moment: float) -> bool:
        """Tell whether it is time to note that the session is in use at a moment, in seconds since 1970."""

    async def note_use(self, now: StoredLogin) -> bool:
        """Note that the session is in use; tell whether it may be."""

    def will_end(self, key: str) -> None:
        """Take note that a session is about to be ended for good."""

    def ended(self, keys: Iterable[str]) -> None:
        """Take note that the records under these storage keys are gone."""

    def set_aside(self, key: str, until: float) -> None:
        """Take note that only a change of its user's password takes the session along, until then."""

    async def close(self) -> None:
        """Write down what has ended. Nothing is raised for that: the records are gone already."""


class Former(Protocol):
    """Knows of logins in a place that sessions come from, where they have other storage keys; see moving/.

    Bodies for both colours.
    """

    async def may_come(self, session_name: str, found: StoredLogin) -> bool:
        """Tell whether a login that was found there has not ended; StoreUnavailable if nobody knows."""

    async def leave(self, key: str, seconds: int = 0) -> None:
        """Have the login end there, in so many seconds: its session is elsewhere, or has ended."""


class _Registrations:
    make: Callable[[Any], Registration] | None = None
    former: Former | None = None


registrations = _Registrations()
"""Makes what follows a session object; nothing does, unless an application has put it there, and ``former`` with it."""


class Login(Protocol):
    """The login of a session object as it is followed. Bodies for both colours; what is no coroutine does no I/O."""

    def stored_login(self) -> StoredLogin | None:
        """Return what is stored of the session, as far as this request knows."""

    def forget_user(self) -> None:
        """Have what is saved next count as a login."""

    @property
    def previous_key(self) -> str | None:
        """The storage key that a change of key in this request leaves behind."""

    def adopt_sid(self, key: str) -> None:
        """Go on under the sid that another request has given to the session in the cookie."""

    async def restamp(self, *, registers: bool = False) -> bool:
        """Write the session anew as it is, for its header alone; tell whether that was done. See stamping.py."""

    async def withdraw(self) -> None:
        """Remove what was saved: the session that was left by a change of key is as before, any other ends."""


class RegistrableSession:
    """A session object that may meet an outage, and that is followed where an application does that."""

    session_name: ClassVar[str]
    clock: Callable[[], float]
    registration: Registration | None = None
    """What follows the login of the session."""
    is_login_renewed = False
    """Whether the user of the session has logged in again in this request."""

    @property
    def has_rotated(self) -> bool:
        """Whether a change of key waits for the end of the old one."""
        return False

    async def _reject(self, reason: InvalidRecord) -> None:
        report_unreadable(self.session_name, reason)
        if self.registration is not None:
            await self.registration.rejected("forged" if str(reason).startswith("forged") else "unreadable")

    @property
    def login(self) -> Login:
        """The session's login, for registering.py."""
        raise NotImplementedError

    def stored_login(self) -> StoredLogin | None:
        """Return what is stored of the session, as far as this request knows."""
        return self.login.stored_login()
