"""Saves inside of Django's transaction, which may be rolled back while the request goes on.

Until the transaction is committed, the next save must not rely on what was saved in it: it could take a change for
stored that is not, and a merge would take that change for something that others have removed.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from django.db import connections, transaction

from ..bridge import driven
from ..stores.base import Store
from .loaded import Loaded, Moved, Outdated


class Baseline(NamedTuple):
    """What a save starts from: what was loaded or saved before, and whether the session was cleared since."""

    loaded: Loaded | None
    is_cleared: bool = False


class UncommittedSaves:
    """The baselines of a session's saves that may still be rolled back, the earliest first."""

    __slots__ = ("_baselines",)

    def __init__(self) -> None:
        self._baselines: list[Baseline] = []

    def note(self, store: Store, baseline: Baseline, saved: Loaded) -> None:
        """Note a save and its baseline, if it was made inside of a transaction."""
        alias: Any = getattr(store, "alias", None)
        # Django's transactions belong to threads without an event loop.
        if driven() and connections[alias].in_atomic_block:
            self._baselines.append(baseline)
            transaction.on_commit(partial(self._settle, saved), alias)
        else:
            self._baselines.clear()

    async def baseline(
        self, latest: Baseline, look: Callable[[], Awaitable[Loaded | Moved | Outdated | None]]
    ) -> Baseline:
        """Return what the next save must start from: the latest baseline that no rollback has undone."""
        if not self._baselines:
            return latest
        stored = await look()
        for candidate in (latest, *reversed(self._baselines)):
            loaded = candidate.loaded
            if isinstance(stored, Loaded) and loaded and stored.header.version == loaded.header.version:
                return candidate
        return self._baselines[0]

    def _settle(self, saved: Loaded) -> None:
        """Forget the baselines before a save that is committed; a later save may still have been rolled back."""
        while self._baselines and self._baselines[0].loaded is not saved:
            del self._baselines[0]
