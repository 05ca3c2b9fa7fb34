"""Inspect memcached servers: their versions, their clocks, and what endangers sessions on them."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..base import Inspection

Answer = tuple[Mapping[bytes, Any], Mapping[bytes, Any]]
"""A node's answers to ``stats`` and to ``stats settings``."""


def inspection(answers: Mapping[str, Answer], outages: Mapping[str, Exception], item_size: int) -> Inspection:
    """Return the inspection of a ring, given some nodes' answers and the other nodes' outages, by the node's name.

    ``item_size`` is the largest item in bytes by the store's settings. The time is that of the clock farthest off.
    """
    now = time.time()
    found = [f"{error}. Its sessions wait for it; no other node takes them over." for error in outages.values()]
    found += [f"{name}: {problem}" for name, answer in answers.items() for problem in _problems(*answer, item_size)]
    return Inspection(
        version=", ".join(sorted({stats[b"version"].decode() for stats, _ in answers.values()})),
        time=max((stats[b"time"] for stats, _ in answers.values()), key=lambda each: abs(each - now)),
        problems=tuple(found),
        notes=tuple(_notes(answers, len(answers) + len(outages))),
    )


def _problems(stats: Mapping[bytes, Any], settings: Mapping[bytes, Any], item_size: int) -> Iterator[str]:
    if stats.get(b"evictions"):
        yield (
            f"it has evicted {stats[b'evictions']} items since it started: if sessions were among "
            "them, their users were logged out. Give it more memory (-m), or sessions a server of "
            "their own."
        )
    if settings.get(b"evictions") == b"off":
        yield "it was started with -M: once full, it lets nobody log in. Give it more memory (-m)."
    if settings.get(b"cas_enabled") in {b"no", False}:
        yield "it was started with -C: no session can be changed. Start it without."
    if settings.get(b"item_size_max", item_size) < item_size:
        yield (
            f"its largest item (-I) is {settings[b'item_size_max']} bytes. Set "
            "OPTIONS['max_item_size'] to that, or raise it."
        )


def _notes(answers: Mapping[str, Answer], nodes: int) -> Iterator[str]:
    if nodes > 1:
        yield (
            f"A ring of {nodes} nodes, {len(answers)} of which answer. Each holds about 1 in {nodes} sessions, and "
            "nobody has a copy: while a node is away, its sessions wait for it."
        )
    for name, (stats, _) in answers.items():
        yield (
            f"{name} was started {_ago(stats[b'uptime'])}, with nothing in it: whatever sessions it held before are "
            "gone, and their users are logged out. So it will be when it is started again."
        )


def _ago(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name} ago"
    return f"{seconds:.0f} s ago"
