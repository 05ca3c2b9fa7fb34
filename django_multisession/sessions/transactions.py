"""Saves inside a transaction of Django's, which may be rolled back while the request goes on.

What was saved there is no ground to build on until the transaction is committed: the next save would take a change for
stored that is not, and a merge would take it for something that others have removed.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from django.db import connections, transaction

from ..bridge import driven
from ..stores.base import Store
from .loaded import Loaded, Moved, Outdated


class Baseline(NamedTuple):
    """What a save starts from: what was loaded or saved before, and whether nothing of that counts."""

    loaded: Loaded | None
    is_cleared: bool = False


class UncommittedSaves:
    """What a session's saves have started from that may be rolled back yet, the earliest first."""

    __slots__ = ("_baselines",)

    def __init__(self) -> None:
        self._baselines: list[Baseline] = []

    def note(self, store: Store, baseline: Baseline, saved: Loaded) -> None:
        """Note that a save was made, if that was inside of a transaction."""
        alias: Any = getattr(store, "alias", None)
        # A transaction of Django's belongs to a thread without an event loop.
        if driven() and connections[alias].in_atomic_block:
            self._baselines.append(baseline)
            transaction.on_commit(partial(self._settle, saved), alias)
        else:
            self._baselines.clear()

    async def baseline(
        self, latest: Baseline, look: Callable[[], Awaitable[Loaded | Moved | Outdated | None]]
    ) -> Baseline:
        """Return what the next save is to start from: the latest, if no rollback has taken it away."""
        if not self._baselines:
            return latest
        stored = await look()
        for candidate in (latest, *reversed(self._baselines)):
            loaded = candidate.loaded
            if isinstance(stored, Loaded) and loaded and stored.header.version == loaded.header.version:
                return candidate
        return self._baselines[0]

    def _settle(self, saved: Loaded) -> None:
        """Forget what was before a save that is committed; one after it may have been rolled back all the same."""
        while self._baselines and self._baselines[0].loaded is not saved:
            del self._baselines[0]
