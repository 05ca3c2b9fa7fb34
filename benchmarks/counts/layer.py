"""What the session layer costs by itself: microseconds of CPU and allocations, without a server."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from benchmarks.counts.null_store import NullSession
from benchmarks.payload import HALF, READ, Payload
from benchmarks.project import project
from benchmarks.rounds import Spread, without_collections
from benchmarks.sides import BASIC, OURS, SessionSide
from benchmarks.targets import CPU, Target, Verdict

NULL = "ours over a null store"
DJANGO = "Django's cache over LocMemCache"
OPERATIONS = (*BASIC, "unchanged")
"""A login finds no anonymous session there: the store's only record is that of a login."""

ATTEMPTS, SECONDS = 5, 0.005
"""How often a round tries, and how long an attempt takes."""


@dataclass(frozen=True)
class Cpu:
    """Microseconds of CPU of one call, and those that json.dumps() of the payload takes on this machine."""

    payload: str
    operation: str
    us: Spread
    json_us: float

    @property
    def target(self) -> Target | None:
        return CPU.get(self.operation) if self.payload == HALF.name else None

    def verdicts(self) -> Iterator[Verdict]:
        """Yield how it stands to its target, if it has one."""
        if self.target is not None:
            yield Verdict(f"µs of CPU, {self.operation}", self.us.median, self.target, is_ratio=False)


@dataclass(frozen=True)
class Memory:
    """What one call allocates at its peak, in bytes, and the memory blocks that a loaded session holds."""

    side: str
    operation: str
    peak: int
    blocks: float


def cpu(payload: Payload, rounds: int) -> list[Cpu]:
    """Return the CPU time of every operation, interleaved with that of json.dumps()."""
    with project():
        side = SessionSide(OURS, NullSession, payload)
        measured: dict[str, Callable[[str], Any]] = {name: side.operation(name) for name in OPERATIONS}
        measured["json"] = lambda _key: json.dumps(payload.data)
        key = side.keys("load", 1)[0]
        calls = {name: 1 + int(SECONDS * 1e6 / best(call, key, 20)) for name, call in measured.items()}
        times: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(rounds):
            for name, call in measured.items():
                times[name].append(best(call, key, calls[name]))
    return [Cpu(payload.name, name, Spread.of(times[name]), median(times["json"])) for name in OPERATIONS]


def best(call: Callable[[str], Any], key: str, calls: int) -> float:
    """Return the µs of a call in the best of a few attempts: what else runs slows a call even by its own clock."""
    return min(_attempt(call, key, calls) for _ in range(ATTEMPTS))


def _attempt(call: Callable[[str], Any], key: str, calls: int) -> float:
    with without_collections():
        started = time.process_time()
        for _ in range(calls):
            call(key)
        return (time.process_time() - started) / calls * 1e6


def memory(payload: Payload) -> Iterator[Memory]:
    """Yield what the operations allocate, ours and Django's nearest."""
    cache = import_module("django.contrib.sessions.backends.cache").SessionStore
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    for name, session_class in ((NULL, NullSession), (DJANGO, cache)):
        with project(caches=caches):
            side = SessionSide(name, session_class, payload)
            blocks = _blocks(session_class, side.keys("load", 1)[0])
            for operation in OPERATIONS:
                yield Memory(name, operation, _peak(side, operation), blocks)


def _peak(side: SessionSide, operation: str, calls: int = 20) -> int:
    call, peaks = side.operation(operation), []
    keys = side.keys(operation, calls * 2)
    for key in keys[:calls]:
        call(key)
    with without_collections():
        tracemalloc.start()
        for key in keys[calls:]:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            call(key)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
    return int(median(peaks))


def _blocks(session_class: Callable[[str], SessionBase], key: str, sessions: int = 200) -> float:
    held: Sequence[SessionBase] = [session_class(key) for _ in range(sessions)]
    with without_collections():
        before = sys.getallocatedblocks()
        for session in held:
            session.get(READ)
        return (sys.getallocatedblocks() - before) / sessions
