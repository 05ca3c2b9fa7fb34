"""What requests do to one session at the same time, and who does it: threads, processes or tasks."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from threading import Barrier
from typing import Any, ClassVar

import django
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError

from django_multisession.bridge import pause, run_sync
from django_multisession.sessions.loading import session_class
from django_multisession.sessions.registration import registrations
from django_multisession.testing.drive import either
from tests.processes import fresh_processes
from tests.system.backends import PATIENCE, Backend, leave_thread

# Gets the SessionStore; written for bridge.run_sync() as well as for an event loop.
Role = Callable[[type[Any]], Coroutine[Any, Any, Any]]

SIGNATURES = 10
POLL = 0.002  # seconds between two looks of somebody who waits for others
GIVE_UP = 120.0  # seconds: a machine that does other things besides may take long


async def change(store: type[Any], number: int, key: str, times: int, gap: float = 0) -> int:
    """Change a key of our own, and count it in one that all share; return how many changes were saved.

    Ends early, as a request does that is told so, if the session was deleted meanwhile. ``gap``: how many times as long
    as the last change took to pause before the next.
    """
    mine, deadline, took = f"writer{number}", time.monotonic() + GIVE_UP, POLL
    for saved in range(times):
        assert time.monotonic() < deadline
        if gap:
            await pause(gap * took)
        began = time.monotonic()
        session = store(key)
        mine_now, all_now = (
            await either(session.get, session.aget, mine, 0),
            await either(session.get, session.aget, "n", 0),
        )
        if session.session_key is None:
            return saved
        assert mine_now == saved, "a change was lost"
        await either(session.update, session.aupdate, {mine: mine_now + 1, "n": all_now + 1})
        try:
            await either(session.save, session.asave)
        except UpdateError:
            assert not await either(session.exists, session.aexists, key), "the session lives, but a save was refused"
            return saved
        took = time.monotonic() - began
    return times


async def watch(store: type[Any], key: str, total: int) -> None:
    """Look on until all is counted: what was seen once stays."""
    seen: dict[str, int] = {}
    deadline = time.monotonic() + GIVE_UP
    while seen.get("n", 0) < total:
        assert time.monotonic() < deadline, seen
        now = dict(await either((opened := store(key)).items, opened.aitems))
        assert all(now.get(name, 0) >= value for name, value in seen.items())
        seen = now
        await pause(POLL)


async def log_out(store: type[Any], key: str, after: int) -> None:
    """End the session when so many changes are counted."""
    await either((opened := await _changed(store, key, after)).flush, opened.aflush)


async def cycle(store: type[Any], key: str, after: int) -> str:
    """Give the session a new key when so many changes are counted; return it."""
    session = await _changed(store, key, after)
    await either(session.cycle_key, session.acycle_key)
    return str(session.session_key)


async def _changed(store: type[Any], key: str, times: int) -> Any:
    deadline = time.monotonic() + GIVE_UP
    session = store(key)
    while await either(session.get, session.aget, "n", 0) < times:
        assert time.monotonic() < deadline
        await pause(POLL)
        session = store(key)
    return session


async def sign(store: type[Any], number: int, key: str) -> int:
    """Sign with the user whose session we found; return how many signatures were saved."""
    signed = 0
    for _ in range(SIGNATURES):
        session = store(key)
        found = dict(await either(session.items, session.aitems))
        user = found.pop(SESSION_KEY)
        assert set(found.values()) <= {user}, f"found in the session of {user}: {found}"
        await either(session.update, session.aupdate, {f"writer{number}": user})
        try:
            await either(session.save, session.asave)
        except UpdateError:  # a conflict: somebody else's session by now
            continue
        signed += 1
    return signed


async def switch_users(store: type[Any], key: str) -> int:
    """Take the session over as one user after another; return how many there were."""
    for user in range(1, 2 * SIGNATURES):
        session = store(key)
        session.clear()
        await either(session.update, session.aupdate, {SESSION_KEY: str(user)})
        await either(session.save, session.asave)
        await pause(POLL)
    return user


class Crew(ABC):
    """Plays roles at the same time; ``backend`` must be configured in this process."""

    size: ClassVar[int]
    """How many, beside one more for a role of its own."""
    changes: ClassVar[int] = 40
    """How many of each make a race."""

    @abstractmethod
    def play(self, backend: Backend, roles: Sequence[Role], **entry: Any) -> list[Any]:
        """Return what size + 1 roles return, in their order; raise what the first raised."""


class Threads(Crew):
    size = 8

    def play(self, backend: Backend, roles: Sequence[Role], **entry: Any) -> list[Any]:
        barrier = Barrier(len(roles))
        store = session_class("default")

        def on_thread(role: Role) -> Any:
            try:
                barrier.wait(PATIENCE)
                return run_sync(role(store))
            finally:
                leave_thread()

        with ThreadPoolExecutor(len(roles)) as threads:
            return list(threads.map(on_thread, roles))


class Tasks(Crew):
    size = 50
    changes = 10  # where asynchronous calls go through one thread, they come one after the other

    def play(self, backend: Backend, roles: Sequence[Role], **entry: Any) -> list[Any]:
        store = session_class("default")

        async def gather() -> list[Any]:
            return await asyncio.gather(*(role(store) for role in roles))

        return asyncio.run(gather())


class Processes(Crew):
    """Started once for all tests, and not forked: they must have no connection of ours."""

    size = 8

    def __init__(self) -> None:
        context = fresh_processes()
        self._pool = ProcessPoolExecutor(
            self.size + 1, context, initializer=_set_up, initargs=(context.Barrier(self.size + 1),)
        )

    def play(self, backend: Backend, roles: Sequence[Role], **entry: Any) -> list[Any]:
        # Each waits for all others to start, so that each is on a process of its own.
        playing = [self._pool.submit(_play, backend, entry, role) for role in roles]
        wait(playing)
        return [each.result() for each in playing]

    def close(self) -> None:
        self._pool.shutdown()


_barrier: Any = None


def _set_up(barrier: Any) -> None:
    global _barrier  # noqa: PLW0603 - a pool's initializer has nowhere else to put it
    _barrier = barrier
    django.setup()
    # As tests/conftest.py does: the registry's tables are not theirs.
    registrations.make = None


def _play(backend: Backend, entry: dict[str, Any], role: Role) -> Any:
    with backend.configured(migrate=False, **entry) as store:
        _barrier.wait(PATIENCE)
        return run_sync(role(store))
