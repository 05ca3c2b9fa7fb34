"""The interface through which an application is told of logins, and may refuse them; see django_multisession.registry.

Nothing below it knows the application. It sets ``registrations.make``, and each session object then has a Registration.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

from ..codec import Header
from ..exceptions import InvalidRecord
from .rotation import RotationOutcome
from .unreadable import report_unreadable


class StoredLogin(NamedTuple):
    """A session as it is stored: ``key`` is its storage key, or the sid of a cookie; ``user`` is its user's id."""

    key: str
    header: Header
    user: str | None


class Registration(Protocol):
    """Is told of the logins of one session object. Coroutines are bodies for both colours; the others do no I/O."""

    def opened_for(self, request: Any) -> None:
        """Take note of the request that the session is opened for."""

    has_moved: bool
    """Whether the session was refused since a change of key has just replaced its cookie by another one."""

    @property
    def marks(self) -> bool:
        """Whether a login that is saved now will have its row before its key is sent to anybody."""

    @property
    def is_sure(self) -> bool:
        """Whether the row of the admitted session is kept even if the caller's transaction is rolled back."""

    async def admits(self, found: StoredLogin) -> bool:
        """Tell whether a session that was just loaded may be used, and remember it."""

    async def rejected(self, reason: str) -> None:
        """Take note that a record or cookie was rejected: as "forged" or "unreadable"."""

    def begin_anew(self) -> None:
        """Take note that what is saved next is a new session, which continues none."""

    async def saved(self, now: StoredLogin, left: str | None) -> str | None:
        """Write down what was saved; ``left`` is the storage key before a change of key.

        Returns the ``sid`` that a cookie has to use, if another request has changed it at the same time. Raises
        SessionEnded if the session was revoked meanwhile, and StoreUnavailable if it cannot be written down: the caller
        must delete the record then.
        """

    async def settled(self, now: StoredLogin, outcome: RotationOutcome) -> None:
        """Take note under which key the session continues, now that the old key has ended.

        Raises SessionEnded if the session was revoked meanwhile.
        """

    async def undo(self) -> None:
        """Undo saved(), since the key is not sent to anybody."""

    def is_due(self, now: StoredLogin, moment: float) -> bool:
        """Tell whether the session's use must be noted at a moment, in seconds since 1970."""

    async def note_use(self, now: StoredLogin) -> bool:
        """Note that the session is in use; tell whether it may go on."""

    def will_end(self, key: str) -> None:
        """Take note that a session is about to be deleted."""

    def ended(self, keys: Iterable[str]) -> None:
        """Take note that the records under these storage keys are gone."""

    def set_aside(self, key: str, until: float) -> None:
        """Take note that a session was set aside: until then, only a change of the password can continue it."""

    async def close(self) -> None:
        """Write down what has ended. Raises nothing if that fails, as the records are already gone."""


class Former(Protocol):
    """Knows the logins in the place of a FALLBACK where they have other storage keys; see moving/.

    Bodies for both colours.
    """

    async def may_come(self, session_name: str, found: StoredLogin) -> bool:
        """Tell whether a login that was found there may go on here; StoreUnavailable if that is not known."""

    async def leave(self, key: str, seconds: int = 0) -> None:
        """Let a login end there, in so many seconds: its session was carried, or has ended."""


class _Registrations:
    make: Callable[[Any], Registration] | None = None
    former: Former | None = None


registrations = _Registrations()
"""Both are None unless an application has set them; ``make`` returns the Registration of a session object."""


class Login(Protocol):
    """What registering.py does with the login of a session object. Coroutines are bodies for both colours."""

    def stored_login(self) -> StoredLogin | None:
        """Return the session as it is stored, as far as this request knows; None if it is not."""

    def forget_user(self) -> None:
        """Make the next save count as a login."""

    @property
    def previous_key(self) -> str | None:
        """The storage key before a change of key in this request; None if there was none."""

    def adopt_sid(self, key: str) -> None:
        """Use the sid that another request has given to the session in the cookie."""

    async def restamp(self, *, registers: bool = False) -> bool:
        """Rewrite the unchanged session for its header alone; tell whether that was done."""

    async def withdraw(self) -> None:
        """Undo the save: after a change of key the session is as it was under the old key; otherwise it ends."""


class RegistrableSession:
    """Base of a session object that may have a Registration."""

    session_name: ClassVar[str]
    clock: Callable[[], float]
    registration: Registration | None = None
    """Is told of the session's login; None without an application for that."""
    is_login_renewed = False
    """Whether the user of the session has logged in again in this request."""

    @property
    def has_rotated(self) -> bool:
        """Whether a change of key still has to be committed."""
        return False

    async def _reject(self, reason: InvalidRecord) -> None:
        report_unreadable(self.session_name, reason)
        if self.registration is not None:
            await self.registration.rejected("forged" if str(reason).startswith("forged") else "unreadable")

    @property
    def login(self) -> Login:
        """The session's login, as registering.py uses it."""
        raise NotImplementedError

    def stored_login(self) -> StoredLogin | None:
        """Return what is stored of the session, as far as this request knows."""
        return self.login.stored_login()
