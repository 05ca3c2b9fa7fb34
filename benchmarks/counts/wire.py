"""What an operation sends and receives: round trips, and bytes either way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from benchmarks.engines import Engine
from benchmarks.payload import HALF
from benchmarks.sides import OPERATIONS, Side
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.proxy import Proxy

REPEATS = 5
"""MongoDB's client also asks its server how it is, now and then: the median is without that."""
WARM = 6
"""Calls before the count: psycopg prepares a statement when it has been sent five times."""


@dataclass(frozen=True)
class Wire:
    """One call of an operation at 0.5 kB; ``commands`` are round trips, the rest are bytes."""

    engine: str
    where: str
    side: str
    operation: str
    commands: int
    sent: int
    received: int


def wire(engine: Engine) -> Iterator[Wire]:
    """Yield what ours and Django's engines send on each of an engine's servers; nothing where there is none."""
    for opening in engine.openings:
        counter = _Counter()
        with opening(counter.reach) as contest, contest.lineup(HALF, only="Django's") as lineup:
            if counter.proxy is None:
                continue
            for operation in OPERATIONS:
                for side in lineup.sides:
                    counted = counter.count(side, operation)
                    yield Wire(contest.engine, contest.where, side.name, operation, *counted)


class _Counter:
    """Stands between the sides and their server."""

    def __init__(self) -> None:
        self.proxy: Proxy[Any] | None = None

    @contextmanager
    def reach(self, server: Server[Any]) -> Iterator[int]:
        with Proxy(server) as self.proxy:
            yield self.proxy.port

    def count(self, side: Side, operation: str) -> tuple[int, int, int]:
        assert self.proxy is not None
        call, keys = side.operation(operation), side.keys(operation, WARM + REPEATS)
        for key in keys[:WARM]:
            call(key)
        counted = []
        for key in keys[WARM:]:
            self.proxy.reset()
            call(key)
            counted.append((self.proxy.requests, self.proxy.bytes_sent, self.proxy.bytes_received))
        commands, sent, received = map(median_low, zip(*counted, strict=True))
        return commands, sent, received
