"""The results as pictures: SVG, for a page with a light background."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.findings import Findings
from benchmarks.payload import HALF, PAYLOADS
from benchmarks.results import Result
from benchmarks.sides import BASIC, OPERATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FASTER, SLOWER = "#2a6f97", "#d98032"
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, and found by a search
    "svg.hashsalt": "benchmarks",  # the same picture of the same figures
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLUMNS = 4
_COOKIES = ("signed_cookies", "encrypted_cookies")


def family(engine: str) -> str:
    """Return the picture that an engine is in."""
    return "cookies" if engine in _COOKIES else engine


def plot(findings: Findings, directory: Path) -> dict[str, Path]:
    """Write the pictures that there are results for, and return them: by family, "payloads", "http"."""
    import matplotlib

    matplotlib.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    with matplotlib.rc_context(_STYLE):
        for name, figure in _figures(findings):
            written[name] = directory / f"benchmark-{name}.svg"
            # Neither date nor version: a picture changes when its figures do.
            figure.savefig(written[name], bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return written


def _figures(findings: Findings) -> Iterator[tuple[str, Figure]]:
    families: dict[str, list[Result]] = {}
    for result in findings.results:
        if result.payload == HALF.name:
            families.setdefault(family(result.engine), []).append(result)
    for name, results in families.items():
        yield name, _ratios(name, results)
    by_payload = [result for result in findings.results if result.colour == "sync" and result.operation in BASIC]
    if len({result.payload for result in by_payload}) > 1:
        yield "payloads", _payloads(by_payload)
    if findings.http:
        yield "http", _requests(findings.http)


def _ratios(name: str, results: Sequence[Result]) -> Figure:
    """Draw a family: a panel for each operation, a bar for each other side, from the line at 1."""
    operations = [one for one in OPERATIONS if any(result.operation == one for result in results)]
    labels = list(dict.fromkeys(_label(result, results) for result in results))
    figure, panels = _panels(len(operations), height=0.5 + 0.2 * len(labels))
    least = min(result.ratio.lower for result in results)
    most = max(result.ratio.upper for result in results)
    for number, (operation, axes) in enumerate(zip(operations, panels, strict=True)):
        for result in results:
            if result.operation == operation:
                _bar(axes, labels.index(_label(result, results)), result)
        axes.set_title(operation)
        _log_axis(axes, least, most)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_yticks(range(len(labels)), labels)
        axes.label_outer()
        axes.tick_params(labelbottom=number + _COLUMNS >= len(panels))  # the lowest of its column
    figure.suptitle(f"{name}: our time ÷ theirs at 0.5 kB; left of the line ours is faster, whiskers are quartiles")
    return figure


def _contest(result: Result, results: Iterable[Result]) -> str:
    """Return what tells a result's contest from the others of a picture."""
    places = {one.where for one in results if one.engine == result.engine}
    return result.engine if len(places) == 1 else f"{result.engine} on {result.where.partition(',')[0]}"


def _label(result: Result, results: Sequence[Result]) -> str:
    contests = {_contest(one, results) for one in results}
    label = result.other if len(contests) == 1 else f"{_contest(result, results)}: {result.other}"
    return f"{label}, async" if result.colour == "async" else label


def _bar(axes: Axes, row: int, result: Result) -> None:
    spread = result.ratio
    axes.barh(
        row,
        spread.median - 1,
        left=1,
        height=0.7,
        color=FASTER if spread.median <= 1 else SLOWER,
        alpha=0.55 if result.colour == "async" else 1,
        xerr=[[spread.median - spread.lower], [spread.upper - spread.median]],
        error_kw={"elinewidth": 0.8},
    )
    # Beyond the line, where no bar is.
    side, offset = ("left", 3) if spread.median <= 1 else ("right", -3)
    text: Any = {"ha": side, "va": "center", "fontsize": 7}
    axes.annotate(f"{spread.median:.2f}", (1, row), (offset, 0), textcoords="offset points", **text)


def _log_axis(axes: Axes, least: float, most: float) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if least * 0.8 <= tick <= most * 1.25 or tick == 1]
    axes.set_xscale("log")
    axes.set_xlim(min(least * 0.8, 0.8), max(most * 1.1, 2.2))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])


def _payloads(results: Sequence[Result]) -> Figure:
    """Draw how the ratio to Django's engine moves with the payload: a panel an operation, a line a contest."""
    names = [name for name in PAYLOADS if any(result.payload == name for result in results)]
    figure, panels = _panels(len(BASIC), height=2.6)
    for operation, axes in zip(BASIC, panels, strict=True):
        lines: dict[str, dict[int, float]] = {}
        for result in results:
            if result.operation == operation and result.other.startswith(("Django's", "bare")):
                line = lines.setdefault(f"{_contest(result, results)}: {result.other}", {})
                line[names.index(result.payload)] = result.ratio.median
        for label, ratios in lines.items():
            points = sorted(ratios.items())
            axes.plot(
                *zip(*points, strict=True), "--" if "bare" in label else "-", marker=".", linewidth=1, label=label
            )
        axes.set_title(operation)
        axes.set_yscale("log")
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xticks(range(len(names)), names)
    _same_ticks(panels)
    panels[0].set_ylabel("our time ÷ theirs")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    figure.suptitle("By payload: below the line ours is faster")
    return figure


def _same_ticks(panels: Iterable[Axes]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    for axes in panels:
        axes.yaxis.set_major_locator(FixedLocator([0.05, 0.1, 0.2, 0.5, 1, 2]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticklabels(["0.05", "0.1", "0.2", "0.5", "1", "2"])


def _requests(results: Sequence[Any]) -> Figure:
    """Draw requests a second by connections: a row for each server and engine, a panel a page, a line a side."""
    from benchmarks.http import PAGES

    panels_of: dict[tuple[str, str, str], list[Any]] = {}
    for result in results:
        panels_of.setdefault((result.server, result.engine, result.page), []).append(result)
    figure, panels = _panels(len(panels_of), height=1.6, most=len(PAGES))
    for (key, of_panel), axes in zip(panels_of.items(), panels, strict=True):
        lines: dict[str, Mapping[int, float]] = {}
        for result in of_panel:
            lines[result.side] = {**lines.get(result.side, {}), result.connections: result.rps}
        for side, points in lines.items():
            axes.plot(list(points), list(points.values()), marker=".", linewidth=1, label=side)
        axes.set_title("{}, {}, {}".format(*key), fontsize=7)
        axes.set_xscale("log", base=2)
        connections = sorted({result.connections for result in of_panel})
        axes.set_xticks(connections, map(str, connections))
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=6, frameon=False)
    figure.suptitle("Requests a second by connections")
    return figure


def _panels(number: int, height: float, most: int = _COLUMNS) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(number, most)
    rows = -(-number // columns)
    figure = Figure(figsize=(1.2 + 1.7 * columns, 0.4 + (height + 0.4) * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for unused in panels[number:]:
        unused.remove()
    return figure, panels[:number]
