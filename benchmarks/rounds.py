"""Time sides against each other: interleaved, many short rounds, in random order within a round.

What slows the machine for a moment slows all sides of a round alike, so ratios within rounds are compared and
absolute times are not.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from benchmarks.sides import MAKING, Side


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how many seconds a side has in each."""

    rounds: int
    seconds: float


FULL = Effort(rounds=200, seconds=0.005)
BESIDE = Effort(rounds=60, seconds=0.005)
"""For what has no target."""
QUICK = Effort(rounds=25, seconds=0.003)


@dataclass(frozen=True)
class Spread:
    """The median over all rounds, and its quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        lower, middle, upper = quantiles(values, n=4)
        return cls(middle, lower, upper)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lower:.2f} to {self.upper:.2f})"


Times = dict[str, list[float]]
"""Seconds per call by the side's name, one for each round."""


def measure(sides: Sequence[Side], operation: str, effort: Effort) -> Times:
    """Return how long the operation took each side that can do it, round by round."""
    able = {side.name: side for side in sides if operation in side.operations}
    numbers = {name: _calls_in(side, operation, effort.seconds) for name, side in able.items()}
    times: Times = {name: [] for name in able}
    gc.collect()
    gc.freeze()  # what Django has loaded need not be looked through before every round
    for _ in range(effort.rounds):
        gc.collect()
        for name in random.sample(list(able), len(able)):
            times[name].append(_seconds(able[name], operation, numbers[name]))
    gc.unfreeze()
    return times


def ratio(times: Times, side: str, other: str) -> Spread:
    """Return a side's time in another's, round by round: below 1 it is faster."""
    return Spread.of([mine / its for mine, its in zip(times[side], times[other], strict=True)])


def microseconds(times: Times, side: str) -> float:
    """Return the median time of one call, for orientation only."""
    return median(times[side]) * 1e6


def _calls_in(side: Side, operation: str, seconds: float) -> int:
    _seconds(side, operation, 10)  # connects, prepares, fills caches
    return max(1, int(seconds / _seconds(side, operation, 20)))


def _seconds(side: Side, operation: str, number: int) -> float:
    """Return the seconds that one of so many calls took; what they need and leave is not timed."""
    keys, call = side.keys(operation, number), side.operation(operation)
    with without_collections():
        if side.loop is None:
            seconds, results = _timed(call, keys)
        else:
            seconds, results = side.loop.run_until_complete(_timed_in_loop(call, keys))
    if operation in MAKING:
        side.discard(results)
    return seconds / number


def _timed(call: Callable[[str], Any], keys: Sequence[str]) -> tuple[float, list[Any]]:
    started = perf_counter()
    results = [call(key) for key in keys]
    return perf_counter() - started, results


async def _timed_in_loop(call: Callable[[str], Awaitable[Any]], keys: Sequence[str]) -> tuple[float, list[Any]]:
    # One loop for all calls, as in a server: one for each would cost more than they do.
    started = perf_counter()
    results = [await call(key) for key in keys]
    return perf_counter() - started, results


@contextmanager
def without_collections() -> Iterator[None]:
    """Keep the garbage collector out, as timeit does: it would hit the side that happens to cross the threshold."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
