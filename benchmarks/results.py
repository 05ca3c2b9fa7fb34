"""One line of a report: our engine against one other side, in one operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contests import Contest
from benchmarks.rounds import Spread, Times, microseconds, ratio
from benchmarks.sides import OURS
from benchmarks.targets import TARGETS


@dataclass(frozen=True)
class Result:
    """``ratio`` is our time in the other's: below 1 ours is faster. Absolute times are for orientation."""

    engine: str
    where: str
    operation: str
    other: str
    ratio: Spread
    ours_us: float
    other_us: float
    target: float | None

    def misses(self, tolerance: float = 1.0) -> bool:
        """Tell whether the ratio is above its target by more than this factor."""
        return self.target is not None and self.ratio.median > self.target * tolerance

    def as_json(self) -> dict[str, Any]:
        """Return the result for --json."""
        return {**asdict(self), "met": None if self.target is None else not self.misses()}


def results(contest: Contest, operation: str, times: Times) -> Iterator[Result]:
    """Yield ours against every other side of a contest."""
    for side in contest.sides:
        if side.name != OURS:
            yield Result(
                engine=contest.engine,
                where=contest.where,
                operation=operation,
                other=side.name,
                ratio=ratio(times, OURS, side.name),
                ours_us=microseconds(times, OURS),
                other_us=microseconds(times, side.name),
                target=TARGETS.get((contest.engine, operation, side.name)),
            )
