"""Whose turn it is to try again: the saves of one process that lost a race for the same record queue up.

Without a queue, tasks of one event loop keep each other from ever swapping: the longer the loop's round, the surer the
record has changed between their reading and their writing. It is a help and no promise: other processes know nothing of
it, and who has waited long enough tries without it. What keeps changes from being lost is the swap.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from weakref import WeakValueDictionary

from ..bridge import native_loop

# A lock lives as long as somebody waits for it or has it.
_threads: "WeakValueDictionary[Hashable, threading.Lock]" = WeakValueDictionary()
_tasks: "WeakValueDictionary[Hashable, asyncio.Lock]" = WeakValueDictionary()

# All who are in a turn, or wait for one: nobody mostly, and then every save is spared the look for its own place.
_present: set[object] = set()

# Whose turn it is: who saves the same record inside of a save would wait for himself.
_ours: ContextVar[frozenset[str]] = ContextVar("multisession_turns", default=frozenset())

# A thread that the child does not have may hold one.
os.register_at_fork(after_in_child=_threads.clear)
os.register_at_fork(after_in_child=_present.clear)


def contended(storage_key: str) -> bool:
    """Tell whether somebody else in this event loop, or on these threads, is here for place."""
    if not _present or storage_key in _ours.get():
        return False
    loop = native_loop()
    return storage_key in _threads if loop is None else (loop, storage_key) in _tasks


@asynccontextmanager
async def exclusive(storage_key: str, seconds: float) -> AsyncIterator[None]:
    """Wait until nobody else in this event loop, or on these threads, is here for place; so many seconds at most."""
    ours = _ours.get()
    if storage_key in ours:
        yield
        return
    visit = object()
    _present.add(visit)
    try:
        loop = native_loop()
        lock: threading.Lock | asyncio.Lock
        if loop is None:
            lock = _threads.setdefault(storage_key, threading.Lock())
            taken = lock.acquire(timeout=seconds)
        else:
            lock = _tasks.setdefault((loop, storage_key), asyncio.Lock())
            try:
                async with asyncio.timeout(seconds):
                    taken = await lock.acquire()
            except TimeoutError:
                taken = False
        token = _ours.set(ours | {storage_key})
        try:
            yield
        finally:
            _ours.reset(token)
            if taken:
                lock.release()
    finally:
        _present.discard(visit)
