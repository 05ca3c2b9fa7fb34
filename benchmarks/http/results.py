"""What came of it: a line for each side, and tables of our requests a second by the other's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import median
from typing import Any

from benchmarks.http.contest import Measured
from benchmarks.rounds import Spread
from benchmarks.sides import OURS
from benchmarks.tables import table

TARGETS: Mapping[tuple[str, str, str, int], float] = {("uvicorn", "redis", "read", 256): 2.5}
"""By server, engine, page and connections: the least that a ratio may be."""

_HEAD = (
    *("page", "connections", "against", "ours ÷ it (quartiles)", "target"),
    *("ours requests/s", "its requests/s", "ours p50, p99 ms", "its p50, p99 ms", "threads, ours and its"),
)


@dataclass(frozen=True)
class HttpResult:
    """One side on one page; medians over the rounds, latencies in milliseconds.

    ``ratio`` is our requests a second by the other side's, above 1 where ours is faster; None on other sides' lines,
    and where there is no other side.
    """

    server: str
    engine: str
    page: str
    connections: int
    side: str
    rps: float
    p50_ms: float
    p99_ms: float
    threads: int
    ratio: Spread | None

    @property
    def target(self) -> float | None:
        """The least that the ratio may be, None where nothing is promised."""
        return TARGETS.get((self.server, self.engine, self.page, self.connections)) if self.ratio else None

    def misses(self, tolerance: float = 1.0) -> bool:
        """Tell whether the ratio is below its target by more than this factor."""
        return self.ratio is not None and self.target is not None and self.ratio.median * tolerance < self.target


def results(
    server: str, engine: str, page: str, connections: int, measured: Mapping[str, Measured]
) -> Iterator[HttpResult]:
    """Yield a result for each side, ours first."""
    others = [name for name in measured if name != OURS]
    for name, side in measured.items():
        yield HttpResult(
            server=server,
            engine=engine,
            page=page,
            connections=connections,
            side=name,
            rps=median(load.rps for load in side.loads),
            p50_ms=median(load.p50_ms for load in side.loads),
            p99_ms=median(load.p99_ms for load in side.loads),
            threads=side.threads,
            ratio=_ratio(side, measured[others[0]]) if name == OURS and others else None,
        )


def _ratio(ours: Measured, other: Measured) -> Spread:
    return Spread.of([mine.rps / its.rps for mine, its in zip(ours.loads, other.loads, strict=True)])


def tables(found: Sequence[HttpResult]) -> list[str]:
    """Return Markdown: a table for each server and engine, in the order of the results."""
    lines: list[str] = []
    for (server, engine), section in groupby(found, lambda result: (result.server, result.engine)):
        contests = groupby(section, lambda result: (result.page, result.connections))
        rows = [_row(list(sides)) for _, sides in contests]
        lines += [f"## {engine} under {server}", "", table(_HEAD, rows), ""]
    return lines


def as_json(found: Sequence[HttpResult]) -> list[dict[str, Any]]:
    """Return the results for programs; ``met`` is None where there is no target."""
    return [
        {**asdict(result), "target": result.target, "met": None if result.target is None else not result.misses()}
        for result in found
    ]


def _row(sides: Sequence[HttpResult]) -> tuple[str, ...]:
    ours = next(result for result in sides if result.side == OURS)
    other = next((result for result in sides if result is not ours), None)
    ratio = ours.ratio
    verdict = "MISSED" if ours.misses() else "met"
    return (
        ours.page,
        str(ours.connections),
        other.side if other else "none",
        f"{ratio.median:.2f} ({ratio.lower:.2f} to {ratio.upper:.2f})" if ratio else "none",
        "" if ours.target is None else f"≥ {ours.target:.2f} {verdict}",
        f"{ours.rps:.0f}",
        f"{other.rps:.0f}" if other else "none",
        _latencies(ours),
        _latencies(other) if other else "none",
        f"{ours.threads}, {other.threads}" if other else str(ours.threads),
    )


def _latencies(result: HttpResult) -> str:
    return f"{result.p50_ms:.1f}, {result.p99_ms:.1f}"
