"""Change a session's key, and commit or abandon that at the end of the request.

Bodies for both colours (see bridge.py). commit() and abandon() are operations of their own (deadline.py) where
http/handle.py calls them, and parts of cycle_key() where that does.
"""

from ..deadline import as_operation
from . import registering
from .rotation import RotationOutcome
from .saving import adopt_saved, call_create, data_of, draft_of
from .stored import StoredSession


async def cycle_key(session: StoredSession) -> None:
    """Give the session a new key, take along what others save under the old one until it ends, and end that.

    Under our middleware the old key ends with the response: see commit(). Elsewhere it ends at once; SessionEnded is
    raised if the session was deleted meanwhile, and the new record is deleted too.
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
    """End the old key of a cycle_key(); SessionEnded if its session was logged out, or is another user's now.

    If another request has changed the key as well, this session continues under the key that won.
    """
    life = session.life
    if life.rotation is None:
        return
    is_outdated = session.is_login_outdated
    if (
        is_outdated is not None
        and life.changes_password(draft_of(session))
        and await is_outdated(session._session_cache)
    ):
        raise life.ended()  # of two concurrent changes of the password, only one counts
    outcome = RotationOutcome()
    saved = await life.commit(draft_of(session), outcome)
    if saved is not None:
        adopt_saved(session, saved)
    await registering.settle(session, outcome)


@as_operation
async def abandon(session: StoredSession) -> None:
    """Undo a cycle_key(): the old session stays as it was, and the new record is deleted."""
    left = await session.life.abandon()
    if left is not None:
        session._session_key = None if left.had_moved else left.key.secret
