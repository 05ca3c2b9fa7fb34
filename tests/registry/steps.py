"""The steps of a request, each a call to the store or to the registry's database; at one, something else happens.

A crash is the end of the process: nothing of the request runs from then on that could reach a server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

OPERATIONS = frozenset({"read", "insert", "replace", "delete", "delete_many", "exists", "end"})
Action = Callable[[], Awaitable[object]]


class Crash(BaseException):
    """The process has died."""


class Steps:
    """Counts the steps of what runs inside of watched(), and acts once so many have been taken."""

    def __init__(self) -> None:
        self.taken = 0
        self._is_watching = False
        self._at = -1
        self._action: Action | None = None
        self._is_dead = False

    @contextmanager
    def watched(self, at: int = -1, action: Action | None = None) -> Iterator[None]:
        """Watch what runs inside: before the step number ``at``, run an action, or without one crash."""
        self.taken, self._at, self._action, self._is_dead, self._is_watching = 0, at, action, False, True
        try:
            yield
        except Crash:
            assert self._is_dead
        finally:
            self._is_watching = False

    async def take(self, step: Callable[[], Awaitable[Any]]) -> Any:
        if not self._is_watching:
            return await step()
        if self._is_dead:
            raise Crash
        number, self.taken = self.taken, self.taken + 1
        if number == self._at:
            if self._action is None:
                self._is_dead = True
                raise Crash
            self._is_watching = False
            try:
                await self._action()
            finally:
                self._is_watching = True
        return await step()


class SteppedStore:
    def __init__(self, store: Any, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._call, found) if name in OPERATIONS else found

    async def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._steps.take(lambda: operation(*args, **kwargs))
