"""The moments at which a session on a server is told of to its Registration; without one, nothing happens."""

from typing import Protocol

from ..envelope import REGISTERED
from .registration import Followed, Registration, Standing
from .rotation import Course


class Settling(Protocol):
    """What settle() asks of a session; see Followed."""

    registration: Registration | None

    def standing(self) -> Standing | None: ...

    async def withdraw(self) -> None: ...


async def admit(session: Followed) -> bool:
    """Tell whether a session may be used that was just loaded; one that is known from now on gets its mark."""
    registration, found = session.registration, session.standing()
    if registration is None or found is None or found.user is None:
        return True
    if not await registration.admits(found):
        return False
    if registration.marks and registration.is_sure and not found.header.flags & REGISTERED:
        await session.restamp(registers=True)
    return True


async def register(session: Followed) -> None:
    """Have written down what was just saved; if that fails, nothing was. See Registration.stands()."""
    registration, now = session.registration, session.standing()
    if registration is None or now is None:
        return
    try:
        sid = await registration.stands(now, session.leaves)
        if sid is not None:
            session.goes_on_as(sid)
            now = session.standing() or now
    except BaseException:
        await session.withdraw()
        raise
    if not session.has_rotated:
        await registration.settled(now, Course())


async def settle(session: Settling, course: Course) -> None:
    """Have written down where the session goes on after a change of key; if it may not, it ends."""
    registration, now = session.registration, session.standing()
    if registration is None or now is None:
        return
    try:
        await registration.settled(now, course)
    except BaseException:
        await session.withdraw()
        raise


async def undo(session: Followed) -> None:
    """Have taken back what was written down of a session that nobody learns of."""
    if session.registration is not None:
        await session.registration.undone()


async def see(session: Followed) -> None:
    """Have written down that a session is in use, if it is time for that; one that was revoked ends."""
    registration, now = session.registration, session.standing()
    if registration is None or now is None or not registration.is_due(now, session.clock()):
        return
    if await session.restamp() and not await registration.seen(session.standing() or now):
        await session.withdraw()


async def close(session: Followed) -> None:
    """Have written down what has ended."""
    if session.registration is not None:
        await session.registration.close()
