"""What a session reports to its Registration, and when; without one, these functions do nothing."""

from typing import Protocol

from ..envelope import REGISTERED
from .registration import Login, RegistrableSession, Registration
from .rotation import RotationOutcome


class SessionWithLogin(Protocol):
    """A session object of which is told; see RegistrableSession."""

    registration: Registration | None

    @property
    def login(self) -> Login: ...
    @property
    def has_rotated(self) -> bool: ...


async def admit(session: RegistrableSession) -> bool:
    """Tell whether a session that was just loaded may be used; mark one that was registered only now."""
    registration, found = session.registration, session.login.stored_login()
    if registration is None or found is None or found.user is None:
        return True
    if not await registration.admits(found):
        return False
    if registration.marks and registration.is_sure and not found.header.flags & REGISTERED:
        await session.login.restamp(registers=True)
    return True


async def begin(session: SessionWithLogin, *, is_awaited: bool) -> None:
    """Report that what was just saved is a new session; register it at once, unless the response will."""
    if session.registration is not None:
        session.registration.begin_anew()
        if not is_awaited:
            await register(session)


async def register(session: SessionWithLogin) -> None:
    """Have written down what was just saved; if that fails, nothing was. See Registration.saved()."""
    registration, now = session.registration, session.login.stored_login()
    if registration is None or now is None:
        return
    try:
        sid = await registration.saved(now, session.login.previous_key)
        if sid is not None:
            session.login.adopt_sid(sid)
            now = session.login.stored_login() or now
    except BaseException:
        await session.login.withdraw()
        raise
    if not session.has_rotated:
        await registration.settled(now, RotationOutcome())


async def settle(session: SessionWithLogin, outcome: RotationOutcome) -> None:
    """Have written down under which key the session continues after a change of key; end it if that fails."""
    registration, now = session.registration, session.login.stored_login()
    if registration is None or now is None:
        return
    try:
        await registration.settled(now, outcome)
    except BaseException:
        await session.login.withdraw()
        raise


async def undo(session: SessionWithLogin) -> None:
    """Undo the registration of a session whose key is not sent to the browser."""
    if session.registration is not None:
        await session.registration.undo()


async def see(session: RegistrableSession) -> None:
    """Have the session's use written down, if that is due; end the session if it was revoked."""
    registration, now = session.registration, session.login.stored_login()
    if registration is None or now is None or not registration.is_due(now, session.clock()):
        return
    if await session.login.restamp() and not await registration.note_use(session.login.stored_login() or now):
        await session.login.withdraw()


async def close(session: SessionWithLogin) -> None:
    """Have the sessions that have ended written down."""
    if session.registration is not None:
        await session.registration.close()
