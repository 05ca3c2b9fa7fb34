"""The page of the documentation: page.md, with the figures and pictures of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from string import Template

from benchmarks import report
from benchmarks.counts.report import sections as counted
from benchmarks.findings import Findings
from benchmarks.plots import family, plot

_TEMPLATE = Path(__file__).with_name("page.md")
_NOT_ASKED = "Not measured in this run."


def write(findings: Findings, directory: Path) -> None:
    """Write benchmarks.md into a directory, and its pictures into images beside it."""
    pictures = plot(findings, directory / "images")
    figures = {
        "environment": report.heading(findings.environment),
        "glance": report.glance(findings.results),
        "summary": report.summary(list(findings.verdicts())),
        "sessions": "\n\n".join(_sessions(findings, pictures)) or _NOT_ASKED,
        "payloads": _picture(pictures, "payloads", "Ratios by payload"),
        "counts": _NOT_ASKED if findings.counts is None else "\n\n".join(counted(findings.counts)),
        "http": "\n\n".join(_http(findings, pictures)) or _NOT_ASKED,
        "left_out": report.absent(findings.left_out),
    }
    text = Template(_TEMPLATE.read_text()).substitute(figures)
    # What has nothing to show leaves no gap.
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    (directory / "benchmarks.md").write_text(text)


def _sessions(findings: Findings, pictures: Mapping[str, Path]) -> Iterator[str]:
    for name, results in groupby(findings.results, lambda result: family(result.engine)):
        yield _picture(pictures, name, f"Ratios of {name}")
        yield from report.sections(results)


def _http(findings: Findings, pictures: Mapping[str, Path]) -> Iterator[str]:
    if findings.http:
        from benchmarks import http

        yield _picture(pictures, "http", "Requests a second by connections")
        # A level deeper than on a terminal.
        yield "\n".join(f"#{line}" if line.startswith("## ") else line for line in http.tables(findings.http))


def _picture(pictures: Mapping[str, Path], name: str, title: str) -> str:
    return f"![{title}](images/{pictures[name].name})" if name in pictures else ""
