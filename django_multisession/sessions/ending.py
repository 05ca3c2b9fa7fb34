"""How a session on a server ends: it is deleted, logged out, set aside during a change of password, or refused.

Bodies for both colours (see bridge.py). delete() and flush() tell the session's Registration which records are gone, or
that the session is set aside; refuse() reports nothing.
"""

from contextlib import suppress

from ..exceptions import StoreUnavailable
from . import registering
from .cookie_changes import our_middleware
from .records import POINTER_TTL
from .rolled_back import Ended
from .saving import call_delete, data_of
from .state import State
from .stored import StoredSession


async def delete(session: StoredSession, session_key: str | None = None) -> None:
    """Delete the record under session_key, by default this session's own; do nothing if there is none."""
    key, registration = session.session_key if session_key is None else session_key, session.registration
    if key is None or not session._validate_session_key(key):
        return
    if registration is not None:
        registration.will_end(session.life.key(key).storage_key)
    _report_gone(session, await session.life.delete(key))
    if key == session.session_key:
        session.life.loaded = None
        _report_gone(session, await session.life.delete_rotated())
    if not session.commits_with_response:
        await registering.close(session)


async def flush(session: StoredSession) -> None:
    """End the session, under whichever key it is; even if the store does not answer, the browser's cookie is deleted.

    django.contrib.auth also flushes a session whose login no longer fits the password. If another request of the
    visitor is just changing the password, it needs that session; so under our middleware it is set aside.
    """
    if await _is_to_be_set_aside(session):
        await _set_aside(session)
        return
    try:
        if our_middleware():
            await data_of(session)  # for the cookie's options, under which the browser must delete it
        if session.repository().records.store.transactional:
            session.ended_keys = session.ended_keys or Ended(session.repository())
            session.ended_keys.note(*session.life.keys(session.session_key))
        session.clear()
        await call_delete(session)
        # End it under its former key, too: a change of key may wait for its commit(). And a session that has moved has
        # no key by now, so that call_delete() did nothing: it is found only from its former key.
        _report_gone(session, await session.life.delete_rotated())
    finally:
        session._session_key = None
        session.life.forget()


async def refuse(session: StoredSession) -> None:
    """End a session that may not be used, and forget it."""
    key = session._session_key
    session._session_key, session._session_cache = None, {}
    if key is not None:
        with suppress(StoreUnavailable):  # the registry's outbox has its key
            await session.life.delete(key)
    session.life.forget()
    session.life.state = State.GONE


def _report_gone(session: StoredSession, keys: list[str]) -> None:
    if session.registration is not None:
        session.registration.ended(keys)


async def _is_to_be_set_aside(session: StoredSession) -> bool:
    if session.is_login_outdated is None or session.is_logged_out or session.state is not State.LOADED:
        return False
    return session.life.rotation is None and await session.is_login_outdated(await data_of(session))


async def _set_aside(session: StoredSession) -> None:
    if session.registration is not None and session.life.loaded is not None:
        session.registration.set_aside(session.life.loaded.key.storage_key, session.clock() + POINTER_TTL)
    session.clear()
    session._session_key = None
    await session.life.set_aside(session.clock())
