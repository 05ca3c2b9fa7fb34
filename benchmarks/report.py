"""Results as tables of Markdown, for a terminal and for the page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from benchmarks import http, round_trips, untouched
from benchmarks.contests import BASIC
from benchmarks.results import CPU, Ratio, Results
from benchmarks.targets import missed, target


def sections(results: Results) -> dict[str, str]:
    """Return the figures by their name in the page: about, sessions, cpu, pages, trips, summary; those there are."""
    ratios = list(results.ratios())
    kinds = ((http.NAME, untouched.NAME), round_trips.NAME, CPU)
    pages, trips, cpu = ([one for one in ratios if one.ours.contest.startswith(kind)] for kind in kinds)
    sessions = [one for one in ratios if one not in (*pages, *trips, *cpu)]
    found = {
        "about": "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in results.about.items()),
        "sessions": _sessions(sessions) if sessions else "",
        "cpu": _sessions(cpu) if cpu else "",
        "pages": _pages(pages) if pages else "",
        "trips": _trips(trips) if trips else "",
        "summary": _summary(ratios),
    }
    return {name: text for name, text in found.items() if text}


def _sessions(ratios: Iterable[Ratio]) -> str:
    """Return a row for each other side, and one with our microseconds."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for one in ratios:
        ours = one.ours
        key = ours.contest.removeprefix(f"{CPU}, "), ours.size
        rows.setdefault((*key, "(ours takes)"), {})[ours.operation] = f"{ours.median * 1e6:.0f} µs"
        rows.setdefault((*key, one.other.side), {})[ours.operation] = _verdict(one)
    cells = [[*names, *(row.get(operation, "") for operation in BASIC)] for names, row in rows.items()]
    return table(("engine", "session", "times as fast as", *BASIC), cells)


def _pages(ratios: Iterable[Ratio]) -> str:
    head = ("page", "against", "times as fast", "ours", "its")
    return table(head, [[_named(one), one.other.side, _verdict(one), *_costs(one)] for one in ratios])


def _costs(ratio: Ratio) -> Iterator[str]:
    for series in (ratio.ours, ratio.other):
        if series.contest == http.NAME:
            yield f"{1 / series.median:.0f} requests/s"
        else:
            yield f"{series.median * 1e6:.1f} µs of CPU"


def _named(ratio: Ratio) -> str:
    return f"{ratio.ours.contest}, {ratio.ours.operation}, {ratio.ours.size}"


def _trips(ratios: Iterable[Ratio]) -> str:
    rows = []
    for _, group in groupby(ratios, lambda one: (one.ours.contest, one.other.side)):
        pairs = list(group)
        engine = pairs[0].ours.contest.removeprefix(f"{round_trips.NAME}, ")
        cells = [f"{one.ours.median:.0f}, {one.other.median:.0f}" for one in pairs]
        rows.append([engine, pairs[0].other.side, *cells])
    return table(("ours", "and its", *round_trips.OPERATIONS), rows)


def _verdict(ratio: Ratio) -> str:
    least = target(ratio)
    if least is None:
        return f"{ratio.median:.2f}"
    # A no-break space, or a narrow page would put the number on a line of its own.
    return f"{ratio.median:.2f} (≥\N{NO-BREAK SPACE}{least:.2g}{'' if ratio.median >= least else ', missed'})"


def _summary(ratios: Sequence[Ratio]) -> str:
    promised = sum(target(one) is not None for one in ratios)
    lines = missed(ratios)
    return "\n".join(
        [f"{promised - len(lines)} of {promised} targets are met.", *(f"- missed: {line}" for line in lines)]
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, its columns lined up."""
    cells = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"| {line} |" for line in lines)
