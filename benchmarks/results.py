"""One line of a report: our engine against one other side, in one operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contests import Contest
from benchmarks.payload import HALF, Payload
from benchmarks.rounds import Spread, Times, microseconds, ratio
from benchmarks.sides import OURS
from benchmarks.targets import RATIOS, Target, Verdict


@dataclass(frozen=True)
class Result:
    """``ratio`` is our time in the other's: below 1 ours is faster. Absolute times are for orientation."""

    engine: str
    where: str
    colour: str
    payload: str
    operation: str
    other: str
    ratio: Spread
    ours_us: float
    other_us: float

    @property
    def target(self) -> Target | None:
        """What was promised; nothing is for other payloads, nor for asynchronous calls."""
        if (self.colour, self.payload) != ("sync", HALF.name):
            return None
        return RATIOS.get((self.engine, self.operation, self.other))

    def verdicts(self) -> Iterator[Verdict]:
        """Yield how the ratio stands to its target, if it has one."""
        if self.target is not None:
            yield Verdict(f"{self.engine} {self.operation} against {self.other}", self.ratio.median, self.target)

    def as_json(self) -> dict[str, Any]:
        """Return the result for --json."""
        target = self.target
        limit, stretch = (None, None) if target is None else (target.limit, target.stretch)
        met = None if limit is None else self.ratio.median <= limit
        return {**asdict(self), "target": limit, "stretch": stretch, "met": met}


def results(contest: Contest, payload: Payload, colour: str, operation: str, times: Times) -> Iterator[Result]:
    """Yield ours against every other side that did the operation."""
    for other in times:
        if other != OURS:
            yield Result(
                engine=contest.engine,
                where=contest.where,
                colour=colour,
                payload=payload.name,
                operation=operation,
                other=other,
                ratio=ratio(times, OURS, other),
                ours_us=microseconds(times, OURS),
                other_us=microseconds(times, other),
            )
