"""Whose turn it is to try again: the saves of one process that lost a race for the same record queue up.

Without a queue, tasks of one event loop keep each other from ever swapping: the longer the loop's round, the surer the
record has changed between their reading and their writing. It is a help and no promise: other processes know nothing of
it, and who has waited long enough tries without it. What keeps changes from being lost is the swap.
See decisions.md, D19.
"""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from ..bridge import maybe_await, native_loop, pause
from ..runtime import Event, Kept

SWAP_ATTEMPTS: Final = 64
LONGEST_PAUSE: Final = 0.032
"""Seconds that a save waits at most before it tries again on a session that others write as well."""


class Queues:
    """A lock lives as long as somebody waits for it or has it."""

    def __init__(self) -> None:
        self.threads: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()
        self.tasks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self.present: set[object] = set()
        """All who are in a queue: nobody mostly, and then every save is spared the look for its own record."""


# A lock may be held by a thread that a forked child does not have.
queues: Final[Kept[Queues]] = Kept(Queues, Event.FORK | Event.TEST)
"""Those of this process."""


class _Held(NamedTuple):
    """What a save holds. A task that it starts inherits the context, and holds nothing."""

    task: object
    storage_keys: frozenset[str]


_held: ContextVar[_Held | None] = ContextVar("multisession_held", default=None)


def _ours() -> frozenset[str]:
    held = _held.get()
    return held.storage_keys if held is not None and held.task == _holder() else frozenset()


def _holder() -> object:
    return threading.get_ident() if native_loop() is None else asyncio.current_task()


def contended(storage_key: str) -> bool:
    """Tell whether somebody else in this event loop, or on these threads, is here for a record.

    Nobody is where queues.value.present is empty.
    """
    if storage_key in _ours():
        return False
    loop, here = native_loop(), queues.value
    return storage_key in here.threads if loop is None else (loop, storage_key) in here.tasks


@asynccontextmanager
async def exclusive(storage_key: str, seconds: float) -> AsyncIterator[None]:
    """Wait until nobody else in this event loop, or on these threads, is here for a record; so many seconds at most.

    A save inside of a save of the same record does not wait for itself.
    """
    ours = _ours()
    if storage_key in ours:
        yield
        return
    here, visit = queues.value, object()
    here.present.add(visit)
    try:
        loop = native_loop()
        lock: threading.Lock | asyncio.Lock
        if loop is None:
            lock = here.threads.setdefault(storage_key, threading.Lock())
            taken = lock.acquire(timeout=max(seconds, 0))
        else:
            lock = here.tasks.setdefault((loop, storage_key), asyncio.Lock())
            try:
                taken = await maybe_await(lock.acquire(), max(seconds, 0))
            except TimeoutError:
                taken = False
        token = _held.set(_Held(_holder(), ours | {storage_key}))
        try:
            yield
        finally:
            if taken:
                lock.release()
            with suppress(ValueError):  # a coroutine that is closed in another context, as at the end of a loop
                _held.reset(token)
    finally:
        here.present.discard(visit)


async def back_off(attempt: int) -> None:
    """Pause before all attempts but the first, with jitter: those of other processes are not in our queue."""
    if attempt:
        await pause(random.uniform(0, min(0.001 * 2**attempt, LONGEST_PAUSE)))  # noqa: S311 - no secret
