"""How often an operation asks its server, ours and Django's: counted by a proxy between them, and not timed."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median_low
from typing import Any

from benchmarks.contests import Contest
from benchmarks.payload import PAYLOADS, SMALL
from benchmarks.results import Series
from benchmarks.sides import OURS, SessionSide
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.proxy import Proxy

OPERATIONS = ("load", "change", "create", "login", "logout", "save_unchanged")
COUNTED = ("redis", "memcached", "postgresql", "db")
NAME = "round trips"
_WARM, _CALLS = 6, 3
"""psycopg prepares a statement when it has been sent five times."""


def count(contest: Contest, server: Server[Any]) -> Iterator[Series]:
    """Yield the round trips of ours and of Django's engine."""
    with Proxy(server) as proxy, contest.at(proxy.location) as makers:
        for name, make in makers.items():
            if name != OURS and not name.startswith("Django's"):
                continue
            side = make(PAYLOADS[SMALL])
            assert isinstance(side, SessionSide)
            for operation in OPERATIONS:
                trips = [_trips(proxy, side, operation) for _ in range(_WARM + _CALLS)]
                yield Series(f"{NAME}, {contest.name}", operation, SMALL, name, [median_low(trips[_WARM:])], "integer")


def _trips(proxy: Proxy[Any], side: SessionSide, operation: str) -> int:
    key = {"login": side.anonymous, "logout": side.create}.get(operation, lambda: side.key)()
    before = proxy.requests
    getattr(side, operation)(key)
    return proxy.requests - before
