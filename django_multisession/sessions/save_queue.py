"""A queue for the saves of one process that have lost a race for the same record.

Without it, the tasks of one event loop could keep each other from ever saving: the longer a turn of the loop takes, the
more likely the record has changed between their read and their write. It only helps: other processes do not know of it,
and a save that has waited long enough goes on without it. The compare-and-swap keeps changes from being lost.
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
"""Seconds of the longest pause before a save is tried again, on a session that others write as well."""


class Queues:
    """The locks of records, by storage key. A lock exists as long as a save waits for it or holds it."""

    def __init__(self) -> None:
        self.threads: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()
        self.tasks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self.present: set[object] = set()
        """One object for each save in a queue. It is mostly empty, and then no save has to look for its own record."""


# New in a forked child: a lock may be held by a thread that the child does not have.
queues: Final[Kept[Queues]] = Kept(Queues, Event.FORK | Event.TEST)
"""The queues of this process."""


class _Held(NamedTuple):
    """The records that a save holds. A task that it starts inherits the context variable, but holds nothing."""

    task: object
    storage_keys: frozenset[str]


_held: ContextVar[_Held | None] = ContextVar("multisession_held", default=None)


def _ours() -> frozenset[str]:
    held = _held.get()
    return held.storage_keys if held is not None and held.task == _holder() else frozenset()


def _holder() -> object:
    return threading.get_ident() if native_loop() is None else asyncio.current_task()


def contended(storage_key: str) -> bool:
    """Tell whether another save, in this event loop or on a thread, is in the queue of a record.

    None is if queues.value.present is empty.
    """
    if storage_key in _ours():
        return False
    loop, here = native_loop(), queues.value
    return storage_key in here.threads if loop is None else (loop, storage_key) in here.tasks


@asynccontextmanager
async def exclusive(storage_key: str, seconds: float) -> AsyncIterator[None]:
    """Hold a record's lock, in this event loop or among threads; after so many seconds go on without it.

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
            with suppress(ValueError):  # the coroutine is closed in another context, as at the end of a loop
                _held.reset(token)
    finally:
        here.present.discard(visit)


async def back_off(attempt: int) -> None:
    """Pause before every attempt but the first, with jitter, since other processes are not in our queue."""
    if attempt:
        await pause(random.uniform(0, min(0.001 * 2**attempt, LONGEST_PAUSE)))  # noqa: S311 - no secret
