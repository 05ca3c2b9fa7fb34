"""Move all sessions that a source can list, as if their visitors had come, while the site is in use.

A walk can be stopped at any time and started again, and several can run at once: sessions that are here are skipped.
"""

import enum
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

from ..bridge import pause
from ..exceptions import InvalidRecord, StoreUnavailable
from ..keys import SessionKey
from ..sessions.loaded import Loaded
from ..sessions.records import POINTER_TTL
from .carrying import Carrying, Incoming
from .copying import Copier
from .source import Found
from .sources.own import OwnSource

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds for which a walk waits for a server that does not answer."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Outcome(enum.Enum):
    """The result for one session."""

    MOVED = "moved"
    SKIPPED = "skipped"
    FAILED = "failed"


class Step(NamedTuple):
    """The result for one session; ``reason`` says why it was not moved, and holds no key and no data."""

    outcome: Outcome
    reason: str = ""


_MOVED: Final = Step(Outcome.MOVED)
_HERE: Final = Step(Outcome.SKIPPED, "was here already, or had ended here")
_ENDED: Final = Step(Outcome.SKIPPED, "ended or moved meanwhile")


class Walk:
    """Moves the sessions that the source of a session name lists; with ``dry_run`` it only reads."""

    def __init__(self, places: Carrying, *, dry_run: bool = False) -> None:
        self._places = places
        self._source = places.source
        # Our own engines list hashes of session keys, so their records are copied as they are.
        self._copier = Copier(places, self._source) if isinstance(self._source, OwnSource) else None
        self._dry_run = dry_run

    @property
    def why_not(self) -> str:
        """Why nothing can be moved, as a sentence without its full stop; empty if it can."""
        return self._source.why_not_scannable or (self._copier.why_not if self._copier else "")

    async def total(self) -> int | None:
        """Return about how many sessions there are to move; None if that is not known."""
        return await self._source.count()

    async def steps(self, batch_size: int = 1000, at_once: int = 100) -> AsyncIterator[list[Step]]:
        """Move sessions, ``at_once`` together; StoreUnavailable once a server has not answered for PATIENCE.

        They are few, to keep the time short between the read of a session there and its removal.
        """
        keys: list[str] = []
        async for key in self._source.scan(batch_size):
            keys.append(key)
            if len(keys) >= min(at_once, batch_size):
                yield await self._moved(keys)
                keys = []
        if keys:
            yield await self._moved(keys)

    async def _moved(self, keys: list[str]) -> list[Step]:
        if self._copier is not None:
            return [await _patiently(self._copy, self._copier, key) for key in keys]
        steps = dict.fromkeys(keys, _ENDED)
        found: dict[str, Found] = {}
        for key, one in (await _patiently(self._source.read_many, keys)).items():
            if isinstance(one, Found):
                found[key] = one
            else:
                steps[key] = _failed(one)
        if self._dry_run:
            for key in found:
                is_here = await _patiently(self._places.fetch, self._places.key(key)) is not None
                steps[key] = _HERE if is_here else _MOVED
        else:
            steps.update(await self._carried(found))
        return list(steps.values())

    async def _copy(self, copier: Copier, key: str) -> Step:
        try:
            moved = await copier.copy(key, dry_run=self._dry_run)
        except InvalidRecord as error:
            return _failed(error)
        return _HERE if moved is False else _MOVED if moved else _ENDED

    async def _carried(self, found: dict[str, Found]) -> dict[str, Step]:
        places = self._places
        steps: dict[str, Step] = {}
        brought, inserted = [], []
        for secret, one in found.items():
            key = places.key(secret)
            try:
                brought.append((key, one, places.incoming(key, one)))
            except InvalidRecord as error:
                steps[secret] = _failed(error)
        answers = await _patiently(places.bring_many, [come for *_, come in brought])
        for (key, one, come), carried in zip(brought, answers, strict=True):
            if isinstance(carried, InvalidRecord):
                steps[key.secret] = _failed(carried)
            elif (own := carried or await _patiently(self._own, key, come)) is None:
                steps[key.secret] = _HERE
            else:
                inserted.append((key, one, own))
        for (key, *_), here in zip(inserted, await places.settle_many(inserted), strict=True):
            steps[key.secret] = _ENDED if here is None else _MOVED
        return steps

    async def _own(self, key: SessionKey, come: Incoming) -> Loaded | None:
        """Return the session here if this walk has inserted it, in an attempt whose reply was lost.

        If not, remove there what another carrier, that was stopped, may have left.
        """
        stored = await self._places.fetch(key)
        if stored is None or stored.header.version == come.header.version:
            return stored
        # Not at once: a carrier that is about to remove it itself would find nothing, and take that for a logout.
        if stored.header.issued_at < time.time() - POINTER_TTL:
            await self._source.remove(key.secret)
        return None


def _failed(error: InvalidRecord) -> Step:
    return Step(Outcome.FAILED, f"unreadable: {error}")


async def _patiently(move: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    ends, wait = time.monotonic() + PATIENCE, _FIRST_PAUSE
    while True:
        try:
            return await move(*arguments)
        except StoreUnavailable:
            if time.monotonic() + wait > ends:
                raise
        await pause(wait)
        wait = min(2 * wait, _LONGEST_PAUSE)
