"""The first look at a session's data, which loads it: once, however many threads and tasks of a request look at once.

One of them loads, and the others wait for it. Each would have a dictionary of its own otherwise, and all changes but
one's would be lost. If the one that loads is cancelled, the next one does.
"""

from typing import Any, Protocol

from django.contrib.sessions.backends.base import SessionBase

from ..bridge import run_sync
from .turn import turn_of


class Belonging(Protocol):
    """Knows whose a session is that ends with the login; see http/belonging.py."""

    async def shown(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what of the data that was loaded the request's user may see."""


def load_once(session: SessionBase, belonging: Belonging | None) -> None:
    """Load the session's data unless another thread has."""
    with turn_of(session).of_threads:
        if not hasattr(session, "_session_cache"):
            data = session.load()
            _keep(session, data if belonging is None else run_sync(belonging.shown(data)))


async def aload_once(session: SessionBase, belonging: Belonging | None) -> None:
    """Load the session's data unless another task has."""
    async with turn_of(session).of_tasks():
        if not hasattr(session, "_session_cache"):
            data = await session.aload()
            _keep(session, data if belonging is None else await belonging.shown(data))


def _keep(session: SessionBase, data: dict[str, Any]) -> None:
    # A thread and a task do not wait for one another: whoever is first has made the one dictionary.
    session.__dict__.setdefault("_session_cache", data)
