"""Save and create a session on a server. Bodies for both colours (see bridge.py).

Each may call the other; where a subclass overrides the public method, that one is called, as Django's engines do.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from django.contrib.sessions.backends.base import CreateError

from ..bridge import foreign, here, maybe_await
from ..deadline import in_both_colours
from . import registering
from .draft import Draft
from .loaded import Saved
from .state import Next, State
from .stored import StoredSession
from .tracking import TrackedDict
from .turn import turn_of

KEY_ATTEMPTS = 5


async def data_of(session: StoredSession) -> dict[str, Any]:
    """Return the session's data, loading them unless they are loaded."""
    if hasattr(session, "_session_cache"):
        session.accessed = True
        return session._session_cache
    return foreign(session._get_session) if here.driven else await session._aget_session()


def draft_of(session: StoredSession) -> Draft:
    """Return what is to be stored."""
    return session._draft(session._session_cache, session.life.user_before)


def adopt_saved(session: StoredSession, saved: Saved) -> None:
    """Make the session hold what the store holds now."""
    secret, data = saved.loaded.key.secret, saved.body.data
    if secret != session.session_key:
        session._session_key = secret
    session._session_cache = TrackedDict(data) if session.life.repository.tracks_reads else data
    if session._changes is not None or saved.body.options:
        session.cookie_changes().saved(saved.body.options)


async def _save(session: StoredSession, must_create: bool = False) -> None:
    """Write what has changed since load(). Without a key, create the session; delete one whose life is over.

    What is written to a session whose record cannot be read is saved as a new one, under a new key.

    Raises SessionEnded (an UpdateError) if the session was deleted meanwhile (it does not come back),
    SessionConflict if what was written meanwhile must not be merged, SessionTooLarge and SessionNotSerializable for
    data that cannot be kept, and CreateError with must_create if the key is taken.
    """
    if must_create:
        await (call_create(session) if session.session_key is None else _insert(session))  # as Django's do
        return
    had_key = session.session_key is not None
    await data_of(session)
    if had_key and session.session_key is None:
        raise session.life.ended()
    if session.session_key is None:
        result = await _write(session)  # no key: no I/O, and no turn is needed
    # One at a time: another task of this request would take what this one writes for another request's change, and
    # apply a MERGE rule twice.
    elif here.driven:
        with (session._turn or turn_of(session)).of_threads:
            result = await _write(session)
    else:
        async with turn_of(session).of_tasks():
            result = await _write(session)
    if result is Next.CREATE:
        await call_create(session)
    elif result is Next.DELETE:
        await call_delete(session)
    elif not (result is Next.NOTHING or result.written or session.commits_with_response or await session.life.exists()):
        # Nothing was written, so nobody has seen whether the session still exists. Our middleware asks before it sends
        # a cookie; Django's does not.
        raise session.life.ended()
    if session.registration is not None and not session.commits_with_response:
        await registering.register(session)


async def _write(session: StoredSession) -> Saved | Next:
    key = session.session_key
    if key is None:
        return session.life.without_key(session._session_cache)
    result = await session.life.save(key, draft_of(session))
    if isinstance(result, Saved):
        adopt_saved(session, result)
    return result


async def _insert(session: StoredSession) -> None:
    session._session_cache = getattr(session, "_session_cache", {})
    draft = draft_of(session)
    if draft.age > 0:
        saved = await session.life.insert(session.session_key or "", draft)
        if saved is None:
            raise CreateError
        adopt_saved(session, saved)


async def _create(session: StoredSession) -> None:
    """Give the session a new key, and write it under that."""
    if session.life.state is State.ANONYMOUS and session.outage is not None:
        raise session.outage
    previous = session.session_key
    try:
        for _ in range(KEY_ATTEMPTS):
            session._session_key = session._get_new_session_key()
            try:
                await _call_public(session, session.save if here.driven else session.asave, _save, True)
            except CreateError:
                continue
            session.modified = True
            if session.registration is not None and not session.continues:
                await registering.begin(session, is_awaited=session.commits_with_response)
            return
    except BaseException:
        session._session_key = previous
        raise
    session._session_key = previous
    raise RuntimeError(f"Session {session.session_name!r}: {KEY_ATTEMPTS} new session keys were all taken.")


async def call_create(session: StoredSession) -> None:
    """Call create() or acreate(), which a subclass may override."""
    await _call_public(session, session.create if here.driven else session.acreate, _create)


async def call_delete(session: StoredSession) -> None:
    """Call delete() or adelete(), which a subclass may override."""
    await maybe_await(foreign(session.delete if here.driven else session.adelete))


save, asave = in_both_colours(_save)
create, acreate = in_both_colours(_create)

_OURS: Final = frozenset((save, asave, create, acreate))


async def _call_public(
    session: StoredSession, public: Callable[..., object], body: Callable[..., Awaitable[None]], *arguments: bool
) -> None:
    """Call a public method if a subclass overrides it; otherwise its body, which is the same at less cost."""
    if getattr(public, "__func__", None) in _OURS:
        await body(session, *arguments)
    else:
        await maybe_await(foreign(public, *arguments))
