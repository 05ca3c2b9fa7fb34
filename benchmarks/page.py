"""The figures of docs/benchmarks.md, and its two pictures, from the results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from benchmarks import http
from benchmarks.contests import BASIC
from benchmarks.payload import SMALL
from benchmarks.report import sections
from benchmarks.results import Ratio, Results

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PICTURES = Path(__file__).parent
_DRAWN = ("redis", "memcached", "postgresql")
_OURS, _THEIRS = "#2a6f97", "#b0b0b0"
_LABEL, _BAR, _LINE, _TOP = 230, 330, 18, 40
"""Pixels: the width of labels and of the longest bar, the height of a line and of the title."""

Bar = tuple[str, float, str, str]
"""Label, value, what is written beside it, colour."""


def write(results: Results) -> None:
    """Write the figures between the page's marks, and the pictures that the page shows."""
    text = PAGE.read_text()
    for name, figures in sections(results).items():
        text = _between(text, name, figures)
    PAGE.write_text(text)
    ratios = list(results.ratios())
    sessions = [one for one in ratios if one.ours.contest in _DRAWN and one.ours.size == SMALL]
    if sessions:
        title = "How many times as fast ours is as … with a session of 0.5 kB"
        (PICTURES / "sessions.svg").write_text(_picture(title, _sessions(sessions)))
    pages = [one for one in ratios if one.ours.contest == http.NAME]
    if pages:
        title = f"Requests a second under uvicorn, Redis, {http.CONNECTIONS} connections"
        (PICTURES / "requests.svg").write_text(_picture(title, _requests(pages)))


def _between(text: str, name: str, figures: str) -> str:
    marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"{PAGE.name} has no <!-- {name} --> … <!-- end -->")
    return marks.sub(lambda match: f"{match[1]}\n{figures}\n{match[2]}", text)


def _sessions(ratios: Sequence[Ratio]) -> Iterator[Bar]:
    for operation in BASIC:
        yield operation, 0, "", ""
        for one in ratios:
            if one.ours.operation == operation:
                colour = _OURS if one.median >= 1 else _THEIRS
                yield f"{one.ours.contest}: {one.other.side}", one.median, f"{one.median:.1f}", colour


def _requests(ratios: Sequence[Ratio]) -> Iterator[Bar]:
    for one in ratios:
        yield f"{one.ours.operation} a session", 0, "", ""
        for series, colour in ((one.ours, _OURS), (one.other, _THEIRS)):
            rate = 1 / series.median
            yield series.side, rate, f"{rate:.0f}", colour


def _picture(title: str, bars: Iterator[Bar]) -> str:
    """Return bars as SVG, one a line; a label without a value is a heading."""
    drawn = list(bars)
    most = max(value for _, value, _, _ in drawn)
    width, height = _LABEL + _BAR + 60, _TOP + _LINE * len(drawn) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="24" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (label, value, note, colour) in enumerate(drawn):
        y = _TOP + _LINE * number
        if not note:
            lines.append(f'<text x="10" y="{y + 13}" font-weight="bold">{escape(label)}</text>')
            continue
        length = round(_BAR * value / most, 1)
        lines.append(
            f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{_LABEL}" y="{y + 3}" width="{length}" height="{_LINE - 6}" fill="{colour}"/>'
            f'<text x="{_LABEL + length + 5}" y="{y + 13}">{note}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])
