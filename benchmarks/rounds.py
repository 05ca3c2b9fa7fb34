"""Time sides against each other: interleaved, many short rounds, in random order within a round.

What slows the machine for a moment slows all sides of a round alike, so ratios within rounds are compared and
absolute times are not.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from statistics import median, quantiles
from time import perf_counter

from benchmarks.sides import Side


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how many seconds a side has in each."""

    rounds: int
    seconds: float


FULL = Effort(rounds=200, seconds=0.005)
QUICK = Effort(rounds=25, seconds=0.003)


@dataclass(frozen=True)
class Spread:
    """The median of a ratio over all rounds, and its quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        lower, middle, upper = quantiles(values, n=4)
        return cls(middle, lower, upper)


Times = dict[str, list[float]]
"""Seconds per call by the side's name, one for each round."""


def measure(sides: Sequence[Side], operation: str, effort: Effort) -> Times:
    """Return how long each side's operation took, round by round."""
    calls = {side.name: side.operation(operation) for side in sides}
    numbers = {name: _calls_in(call, effort.seconds) for name, call in calls.items()}
    times: Times = {name: [] for name in calls}
    gc.collect()
    gc.freeze()  # what Django has loaded need not be looked through before every round
    for _ in range(effort.rounds):
        gc.collect()
        for name in random.sample(list(calls), len(calls)):
            times[name].append(_seconds(calls[name], numbers[name]))
    return times


def ratio(times: Times, side: str, other: str) -> Spread:
    """Return a side's time in another's, round by round: below 1 it is faster."""
    return Spread.of([mine / its for mine, its in zip(times[side], times[other], strict=True)])


def microseconds(times: Times, side: str) -> float:
    """Return the median time of one call, for orientation only."""
    return median(times[side]) * 1e6


def _calls_in(call: Callable[[], object], seconds: float) -> int:
    _seconds(call, 10)  # connects, prepares, fills caches
    return max(1, int(seconds / _seconds(call, 20)))


def _seconds(call: Callable[[], object], number: int) -> float:
    """Return the seconds that one of so many calls took."""
    with _without_collections():
        started = perf_counter()
        for _ in repeat(None, number):
            call()
        return (perf_counter() - started) / number


@contextmanager
def _without_collections() -> Iterator[None]:
    # As timeit does: a collection would hit the side that happens to cross the threshold.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
