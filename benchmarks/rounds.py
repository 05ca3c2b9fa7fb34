"""Sides take turns: many short rounds, in random order within a round.

What slows the machine for a moment slows all sides of a round alike, so that ratios within rounds hold where times do
not. pyperf measures one benchmark after another, and so is used for what comes after: file, statistics, metadata.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, thread_time
from typing import TypeVar

from benchmarks.sides import Side

T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how many seconds a side has in each."""

    rounds: int
    seconds: float


FULL = Effort(rounds=120, seconds=0.005)
QUICK = Effort(rounds=15, seconds=0.003)


def take_turns(calls: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Return what each of the calls returned, round by round."""
    found: dict[str, list[T]] = {name: [] for name in calls}
    gc.collect()
    gc.freeze()  # what Django has loaded need not be looked through before every round
    for _ in range(rounds):
        gc.collect()
        for name in random.sample(list(calls), len(calls)):
            found[name].append(calls[name]())
    gc.unfreeze()
    return found


def measure(sides: Mapping[str, Side], operation: str, effort: Effort) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of an operation by side, round by round: those that went by, and the client's CPU time."""

    def timed(side: Side) -> Callable[[], tuple[float, float]]:
        _seconds(side, operation, 10)  # connects, prepares, fills caches
        number = max(1, int(effort.seconds / _seconds(side, operation, 10)[0]))
        return lambda: _seconds(side, operation, number)

    return take_turns({name: timed(side) for name, side in sides.items()}, effort.rounds)


def _seconds(side: Side, operation: str, number: int) -> tuple[float, float]:
    """Return the seconds, and the CPU time, that one of so many calls took; removing what they leave is not timed."""
    call, key = getattr(side, operation), side.key
    gc.disable()  # as timeit does: it would hit the side that happens to cross the threshold
    try:
        started, ran = perf_counter(), thread_time()
        made = [call(key) for _ in range(number)]
        ran, taken = thread_time() - ran, perf_counter() - started
    finally:
        gc.enable()
    if operation == "create":
        side.discard(made)
    return taken / number, ran / number
