"""How often a session that is only read is written under SESSION_SAVE_EVERY_REQUEST."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from statistics import mean
from typing import Any, ClassVar

from django.contrib.sessions.backends import cache
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache.backends.locmem import LocMemCache

from benchmarks.payload import HALF, READ
from benchmarks.project import project
from benchmarks.sides import OURS
from benchmarks.targets import BURST, WRITES, Verdict
from django_multisession.engines.memory import SessionStore
from django_multisession.stores.memory import MemoryStore

READS = 1000
SESSIONS = 50
PARALLEL = 20


@dataclass(frozen=True)
class Writes:
    """Writes per 1,000 reads evenly over a lifetime, and those of a burst of parallel requests."""

    side: str
    mean: float
    worst: int
    burst_sent: int
    burst_done: int

    def verdicts(self) -> Iterator[Verdict]:
        """Yield how ours stand to their targets."""
        if self.side == OURS:
            yield Verdict("writes per 1,000 reads, worst session", self.worst, WRITES, is_ratio=False)
            yield Verdict("writes in a burst of 20, sent", self.burst_sent, BURST, is_ratio=False)


class _Store(MemoryStore):
    """Counts its replacements."""

    sent: ClassVar[int] = 0
    done: ClassVar[int] = 0

    async def replace(self, *arguments: Any, **keywords: Any) -> bytes | None:
        version = await super().replace(*arguments, **keywords)
        _Store.sent += 1
        _Store.done += version is not None
        return version


class _Session(SessionStore):
    """Over the counting store, at a time of our own."""

    store_class = _Store
    now: ClassVar[float] = 1_800_000_000.0
    _numbers: ClassVar[Iterator[int]] = count()

    def clock(self) -> float:
        return self.now

    def _get_new_session_key(self) -> str:
        # When a touch is due depends on the key: the same ones, and so the same counts, in every run.
        return f"benchmark{next(self._numbers):023}"


class Cache(LocMemCache):
    """Counts its replacements; Django's cache engine adds a new session, and sets one that is there."""

    done: ClassVar[int] = 0

    def set(self, *arguments: Any, **keywords: Any) -> None:
        Cache.done += 1
        super().set(*arguments, **keywords)


def writes() -> Iterator[Writes]:
    """Yield ours, over SESSIONS of them, and Django's, which are all alike."""
    with project(caches={"default": {"BACKEND": "benchmarks.counts.writes.Cache"}}):
        ours = [_over_a_lifetime(_Session, lambda: _Store.done) for _ in range(SESSIONS)]
        before = _Store.sent, _Store.done
        _burst(_Session)
        yield Writes(OURS, mean(ours), max(ours), _Store.sent - before[0], _Store.done - before[1])
        django = _over_a_lifetime(cache.SessionStore, lambda: Cache.done)
        done = Cache.done
        _burst(cache.SessionStore)
        yield Writes("Django's cache", django, django, Cache.done - done, Cache.done - done)


def _over_a_lifetime(session_class: type[SessionBase], done: Callable[[], int]) -> int:
    key, before, start = _stored(session_class), done(), _Session.now
    lifetime = session_class().get_session_cookie_age()
    for number in range(1, READS + 1):
        _Session.now = start + lifetime * number / READS
        _read(session_class, key).save()
    return done() - before


def _burst(session_class: type[SessionBase]) -> None:
    """Load a session in parallel requests, late enough that its expiry is to be moved, and save it in each."""
    key = _stored(session_class)
    _Session.now += session_class().get_session_cookie_age() / 2
    for session in [_read(session_class, key) for _ in range(PARALLEL)]:
        session.save()


def _read(session_class: type[SessionBase], key: str) -> SessionBase:
    session = session_class(key)
    assert session[READ] == HALF.data[READ]
    return session


def _stored(session_class: type[SessionBase]) -> str:
    session = session_class()
    session.update(dict(HALF.data))
    session.save()
    assert session.session_key is not None
    return session.session_key
