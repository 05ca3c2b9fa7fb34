"""A change of a session's key, and what the end of a request decides of it: that it stands, or is taken back.

Bodies for both colours (see bridge.py). What our middleware asks for at the end of a request is an operation of its
own.
"""

from ..deadline import as_operation
from . import registering
from .rotation import RotationOutcome
from .saving import adopt_saved, call_create, data_of, draft_of
from .stored import StoredSession


async def cycle_key(session: StoredSession) -> None:
    """Move the session to a new key and end the old one, with all that was saved under it until then.

    Under our middleware the old one ends when the response is made: see commit(). Elsewhere it ends at once, and
    SessionEnded is raised if the session was deleted meanwhile: then the new key does not live either.
    """
    await data_of(session)
    left, session.continues = session.life.leaving(session._session_key), True
    try:
        await call_create(session)
    finally:
        session.continues = False
    if await session.life.leave(left) and not session.commits_with_response:
        try:
            await registering.register(session)
            await commit(session)
        except BaseException:
            await registering.undo(session)
            await abandon(session)
            raise


@as_operation
async def commit(session: StoredSession) -> None:
    """End the old key of a cycle_key(); SessionEnded if its session was logged out, or is somebody else's now.

    If another request has changed the key as well, this session goes on under the key that won.
    """
    life = session.life
    if life.rotation is None:
        return
    is_renewed = session.is_outdated is not None and life.renews(draft_of(session))
    if session.is_outdated is not None and is_renewed and await session.is_outdated(session._session_cache):
        raise life.ended()  # of two changes of the password at once, one counts
    outcome = RotationOutcome()
    saved = await life.commit(draft_of(session), outcome)
    if saved is not None:
        adopt_saved(session, saved)
    await registering.settle(session, outcome)


@as_operation
async def abandon(session: StoredSession) -> None:
    """Take a cycle_key() back: the old session stays as it was, and the new one goes."""
    left = await session.life.abandon()
    if left is not None:
        session._session_key = None if left.had_moved else left.key.secret
