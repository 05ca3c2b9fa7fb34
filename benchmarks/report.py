"""Results as a table that reads well on a terminal and as Markdown alike, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from benchmarks.results import Result

_HEAD = (
    "operation",
    "against",
    "ours ÷ it (quartiles)",
    "times as fast",
    "target",
    "ours µs",
    "its µs",
)


def heading(environment: Mapping[str, str]) -> str:
    """Return where and with what the run was made, as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in environment.items())


def tables(found: Iterable[Result]) -> Iterator[str]:
    """Yield a section for each contest, in the order of the results."""
    for (engine, where), section in groupby(found, lambda result: (result.engine, result.where)):
        yield f"## {engine} ({where})\n\n{_table([_HEAD, *map(_row, section)])}"


def summary(found: Sequence[Result]) -> str:
    """Return how many targets are met, and which are not."""
    targets = [result for result in found if result.target is not None]
    missed = [result for result in targets if result.misses()]
    lines = [f"Targets: {len(targets) - len(missed)} of {len(targets)} met."]
    lines += [
        f"- missed: {result.engine} {result.operation} against {result.other}: "
        f"{result.ratio.median:.2f}, at most {result.target:.2f}"
        for result in missed
    ]
    return "\n".join(lines)


def as_json(environment: Mapping[str, str], found: Iterable[Result]) -> str:
    """Return everything for programs; times in microseconds, ratios as ours ÷ other."""
    document = {"environment": environment, "results": [result.as_json() for result in found]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _row(result: Result) -> tuple[str, ...]:
    spread = result.ratio
    verdict = "MISSED" if result.misses() else "met"
    target = "" if result.target is None else f"≤ {result.target:.2f} {verdict}"
    return (
        result.operation,
        result.other,
        f"{spread.median:.2f} ({spread.lower:.2f} to {spread.upper:.2f})",
        f"{1 / spread.median:.2f}",
        target,
        f"{result.ours_us:.1f}",
        f"{result.other_us:.1f}",
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(map(str.ljust, row, widths)) + " |"  # by Markdown's rules, too
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
