"""What a response decides of a session on a server: that a change of its key stands, or is taken back, and that a
logout is final.

Our middleware asks for it at the end of a request. Bodies for both colours (see bridge.py), each an operation of its
own.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from ..deadline import Operated, operated
from . import registering
from .draft import Draft
from .lifecycle import Lifecycle
from .loaded import Saved
from .logouts import Logouts
from .registering import Settling
from .rotation import Course
from .state import State


class Answered(Operated, Settling, Protocol):
    """What is asked of a session: see ServerSession, whose only implementation it is."""

    _session_key: str | None
    _session_cache: dict[str, Any]
    brought_key: str | None
    is_outdated: Callable[[Mapping[str, Any]], Awaitable[bool]] | None
    logouts: Logouts | None

    @property
    def state(self) -> State: ...
    @property
    def life(self) -> Lifecycle: ...
    def draft(self) -> Draft: ...
    def keep(self, saved: Saved) -> None: ...


@operated
async def commit(session: Answered) -> None:
    """End the old key of a cycle_key(); SessionEnded if its session was logged out, or is somebody else's now.

    If another request has changed the key as well, this session goes on under the key that won.
    """
    life = session.life
    if life.rotation is None:
        return
    is_renewed = session.is_outdated is not None and life.renews(session.draft())
    if session.is_outdated is not None and is_renewed and await session.is_outdated(session._session_cache):
        raise life.ended()  # of two changes of the password at once, one counts
    course = Course()
    saved = await life.commit(session.draft(), course)
    if saved is not None:
        session.keep(saved)
    await registering.settle(session, course)


@operated
async def abandon(session: Answered) -> None:
    """Take a cycle_key() back: the old session stays as it was, and the new one goes."""
    left = await session.life.abandon()
    if left is not None:
        session._session_key = None if left.had_moved else left.key.secret


@operated
async def was_rolled_back(session: Answered) -> bool:
    """Tell whether the record that this request has made is gone with the transaction in which it was made."""
    return session._session_key not in (None, session.brought_key) and await session.life.was_rolled_back()


@operated
async def end_again(session: Answered) -> None:
    """End anew what a logout of this request has ended, if a rolled-back transaction has brought it back."""
    if session.logouts is not None:
        await session.logouts.end_again()
