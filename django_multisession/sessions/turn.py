"""Whose turn it is to load or to save one session object, which the threads and tasks of a request may share."""

import asyncio
import threading

from django.contrib.sessions.backends.base import SessionBase


class Turn:
    """Threads wait for one another, and so do the tasks of one event loop. Copied with its session, it begins anew."""

    __slots__ = ("_of_tasks", "of_threads")

    def __init__(self) -> None:
        self.of_threads = threading.RLock()
        self._of_tasks: dict[asyncio.AbstractEventLoop, TaskTurn] = {}

    def of_tasks(self) -> "TaskTurn":
        """Return that of the running event loop: a lock of asyncio does not wake whoever waits in another loop."""
        loop = asyncio.get_running_loop()
        return self._of_tasks.get(loop) or self._of_tasks.setdefault(loop, TaskTurn())

    def __reduce__(self) -> tuple[type["Turn"], tuple[()]]:
        return Turn, ()


class TaskTurn:
    """What RLock is for threads: a save inside of a save of the same task does not wait for itself."""

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


def turn_of(session: SessionBase) -> Turn:
    """Return the turn of a session object, made by whoever asks first."""
    found: Turn | None = session.__dict__.get("_turns")
    return session.__dict__.setdefault("_turns", Turn()) if found is None else found
