"""Take turns at loading and saving a session object, which the threads and tasks of a request may share.

The first of them that accesses the session loads it, and the others wait. Otherwise each would get a dictionary of its
own, and all changes but those of one would be lost. If the one that loads is cancelled, the next one loads.
"""

import asyncio
import threading
from typing import Any, Protocol

from ..bridge import here, run_sync


class Turn:
    """The locks of one session object: one for threads, and one for the tasks of each event loop.

    A copy of the session gets new ones.
    """

    __slots__ = ("_of_tasks", "of_threads")

    def __init__(self) -> None:
        self.of_threads = threading.RLock()
        self._of_tasks: dict[asyncio.AbstractEventLoop, TaskTurn] = {}

    def of_tasks(self) -> "TaskTurn":
        """Return the lock of the running event loop: asyncio's locks cannot wake a task in another loop."""
        loop = asyncio.get_running_loop()
        return self._of_tasks.get(loop) or self._of_tasks.setdefault(loop, TaskTurn())

    def __reduce__(self) -> tuple[type["Turn"], tuple[()]]:
        return Turn, ()


class TaskTurn:
    """A reentrant lock for tasks, like RLock for threads: a save inside of a save does not wait for itself."""

    __slots__ = ("_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[object] | None = None
        self._depth = 0

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None or task is not self._owner:
            await self._lock.acquire()
            self._owner = task
        self._depth += 1

    async def __aexit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()


class OwnershipCheck(Protocol):
    """Knows the owner of a session that ends with the login; see http/ownership.py."""

    async def shown(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the loaded data if the request's user may see them; otherwise an empty session's."""

    async def current_user(self) -> str | None:
        """Return the id of the request's user, None if nobody is logged in or the login is outdated."""


class LoadableSession(Protocol):
    """What first_look() needs of a session."""

    accessed: bool
    ownership: OwnershipCheck | None
    _session_cache: dict[str, Any]

    @property
    def session_key(self) -> str | None: ...
    def load(self) -> dict[str, Any]: ...
    async def aload(self) -> dict[str, Any]: ...


def turn_of(session: object) -> Turn:
    """Return the Turn of a session object, making it the first time."""
    found: Turn | None = session.__dict__.get("_turn")
    return session.__dict__.setdefault("_turn", Turn()) if found is None else found


def first_look(session: LoadableSession, no_load: bool = False) -> dict[str, Any]:
    """Return the session's data, loading them the first time. This is Django's ``_get_session()``."""
    session.accessed = True
    if not hasattr(session, "_session_cache"):
        if no_load or session.session_key is None:
            session._session_cache = {}
        else:
            with turn_of(session).of_threads:
                if not hasattr(session, "_session_cache"):
                    data, ownership = session.load(), session.ownership
                    _keep(session, data if ownership is None else run_sync(ownership.shown(data)))
    return session._session_cache


async def afirst_look(session: LoadableSession, no_load: bool = False) -> dict[str, Any]:
    """See first_look()."""
    session.accessed = True
    if not hasattr(session, "_session_cache"):
        if no_load or session.session_key is None:
            session._session_cache = {}
        else:
            async with turn_of(session).of_tasks():
                if not hasattr(session, "_session_cache"):
                    data, ownership = await session.aload(), session.ownership
                    _keep(session, data if ownership is None else await ownership.shown(data))
    return session._session_cache


async def preload(session: Any) -> None:
    """Load the session without counting that as access; reading it then does no I/O. A body for both colours."""
    accessed = session.accessed
    if here.driven:
        session._get_session()
    else:
        await session._aget_session()
    session.accessed = accessed


def _keep(session: LoadableSession, data: dict[str, Any]) -> None:
    # A thread and a task do not wait for each other: the dictionary of the first one counts.
    session.__dict__.setdefault("_session_cache", data)
