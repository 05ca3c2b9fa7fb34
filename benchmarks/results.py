"""What was measured: pyperf's file, with a benchmark for each side of each comparison.

``python -m pyperf show --quiet benchmarks/results.json``, ``stats`` and ``hist`` read it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pyperf  # type: ignore[import-untyped]  # it ships no types

from benchmarks.sides import OURS

_ABOUT = ("cpu_model_name", "cpu_count", "python_implementation", "python_version", "load_avg_1min", "date")
"""What is kept of what pyperf knows of the machine: neither its name nor its paths."""
CPU = "client CPU"  # what a contest's name begins with where a series is of the client's own CPU time


@dataclass(frozen=True)
class Series:
    """One side of a comparison: seconds a call, round by round, or a count ("integer")."""

    contest: str
    operation: str
    size: str
    side: str
    values: Sequence[float]
    unit: str = "second"

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    def benchmark(self) -> pyperf.Benchmark:
        """Return this as pyperf has it."""
        named = {"contest": self.contest, "operation": self.operation, "size": self.size, "side": self.side}
        metadata = {"name": ", ".join(named.values()), "unit": self.unit, **named}
        values = [float(f"{value:.4g}") for value in self.values]
        return pyperf.Benchmark([pyperf.Run(values, metadata=metadata, collect_metadata=False)])


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as another side: the median over the rounds, and the quartiles."""

    ours: Series
    other: Series

    @property
    def median(self) -> float:
        return self.quartiles[1]

    @property
    def quartiles(self) -> tuple[float, float, float]:
        ratios = [its / mine for mine, its in zip(self.ours.values, self.other.values, strict=True)]
        lower, middle, upper = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        return lower, middle, upper


@dataclass(frozen=True)
class Results:
    """All that one run has measured, and what it ran on."""

    series: Sequence[Series]
    about: dict[str, Any]

    def ratios(self) -> Iterable[Ratio]:
        """Yield ours against each other side, in the order of measurement."""
        mine = {(one.contest, one.operation, one.size): one for one in self.series if one.side == OURS}
        for other in self.series:
            if other.side != OURS:
                yield Ratio(mine[other.contest, other.operation, other.size], other)

    def write(self, path: Path) -> None:
        """Write pyperf's JSON."""
        benchmarks = [one.benchmark() for one in self.series]
        for benchmark in benchmarks:
            benchmark.update_metadata(self.about)
        pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return what ``write()`` wrote."""
        found: list[Series] = []
        about: dict[str, Any] = {}
        for benchmark in pyperf.BenchmarkSuite.load(str(path)).get_benchmarks():
            metadata = benchmark.get_metadata()
            contest, operation, size, side = map(metadata.pop, ("contest", "operation", "size", "side"))
            found.append(Series(contest, operation, size, side, benchmark.get_values(), metadata.pop("unit")))
            about = {name: value for name, value in metadata.items() if name != "name"}
        return cls(found, about)


def about(programs: Iterable[str]) -> dict[str, Any]:
    """Return what this runs on: pyperf's metadata, and the versions of these programs."""
    known = pyperf.Run([1.0], metadata={"name": "about"}).get_metadata()
    return {**{name: known[name] for name in _ABOUT if name in known}, "programs": ", ".join(programs)}
