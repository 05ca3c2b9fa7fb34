"""The walk: whatever a source can list comes here as if its visitor had come, while visitors come and go.

It can be stopped at any time and begun anew, and several can walk at once: a session that is here already is passed by.
"""

import enum
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from ..bridge import pause
from ..exceptions import InvalidRecord, StoreUnavailable
from ..keys import SessionKey
from ..sessions.records import POINTER_TTL
from .carrying import Carrying
from .copying import Copier
from .source import Found

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds for which the walk waits for a server that does not answer."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Outcome(enum.Enum):
    """What has become of one session."""

    MOVED = "moved"
    SKIPPED = "skipped"
    FAILED = "failed"


class Step(NamedTuple):
    """One session of the walk; ``reason`` says why it was not moved, and holds no key and no data."""

    outcome: Outcome
    reason: str = ""


_MOVED: Final = Step(Outcome.MOVED)
_HERE: Final = Step(Outcome.SKIPPED, "was here already, or had ended here")
_ENDED: Final = Step(Outcome.SKIPPED, "ended or moved meanwhile")


class Walk:
    """Moves what the source of a session name lists; with ``dry_run`` it only reads."""

    def __init__(self, places: Carrying, *, dry_run: bool = False) -> None:
        self._places = places
        self._source = places.source
        self._copier = Copier(places) if self._source.hashes_keys else None
        self._dry_run = dry_run

    @property
    def why_not(self) -> str:
        """Why nothing can be walked, as a sentence without its end; empty where it can."""
        return self._source.why_not_scannable or (self._copier.why_not if self._copier else "")

    async def total(self) -> int | None:
        """Return about how many sessions there are to walk, None where that is not known."""
        return await self._source.count()

    async def steps(self, batch_size: int = 1000) -> AsyncIterator[Step]:
        """Move one session after the other; StoreUnavailable once a server has not answered for PATIENCE."""
        async for key in self._source.scan(batch_size):
            try:
                yield await _patiently(self._move, key)
            except InvalidRecord as error:
                yield Step(Outcome.FAILED, f"unreadable: {error}")

    async def _move(self, key: str) -> Step:
        if self._copier is not None:
            moved = await self._copier.copy(key, dry_run=self._dry_run)
            return _HERE if moved is False else _MOVED if moved else _ENDED
        places = self._places
        found = await self._source.read(key)
        if not isinstance(found, Found):
            return _ENDED
        here = places.key(key)
        if self._dry_run:
            return _MOVED if await places.fetch(here) is None else _HERE
        carried = await places.bring(here, found)
        if carried is None:
            await self._clear(here)
            return _HERE
        return _MOVED if await places.settle(here, found, carried) is not None else _ENDED

    async def _clear(self, key: SessionKey) -> None:
        """Remove there what is here, and was left there when a carrier was stopped."""
        stored = await self._places.fetch(key)
        # One that is at it right now would take its own removal, which then finds nothing, for a logout.
        if stored is not None and stored.header.issued_at < time.time() - POINTER_TTL:
            await self._source.remove(key.secret)


async def _patiently(move: Callable[[str], Awaitable[T]], key: str) -> T:
    ends, wait = time.monotonic() + PATIENCE, _FIRST_PAUSE
    while True:
        try:
            return await move(key)
        except StoreUnavailable:
            if time.monotonic() + wait > ends:
                raise
        await pause(wait)
        wait = min(2 * wait, _LONGEST_PAUSE)
