"""What was measured on sessions, as Markdown: ratios first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from benchmarks.contests import LeftOut
from benchmarks.payload import HALF, PAYLOADS
from benchmarks.results import Result
from benchmarks.sides import BASIC
from benchmarks.tables import table
from benchmarks.targets import Verdict

_HEAD = ("operation", "against", "ours ÷ it (quartiles)", "times as fast", "target", "ours µs", "its µs")


def heading(environment: Mapping[str, str]) -> str:
    """Return where and with what the run was made, as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in environment.items())


def sections(found: Iterable[Result]) -> Iterator[str]:
    """Yield the tables of each contest, in the order of the results."""
    for (engine, where), section in groupby(found, lambda result: (result.engine, result.where)):
        yield "\n\n".join([f"### {engine} ({where})", *_tables(list(section))])


def _tables(section: Sequence[Result]) -> Iterator[str]:
    payloads = [payload for payload in PAYLOADS if any(result.payload == payload for result in section)]
    whole = HALF.name if HALF.name in payloads else payloads[0]
    for colour, of_colour in groupby(section, lambda result: result.colour):
        results = list(of_colour)
        yield f"{colour.capitalize()}hronous, {whole}:"
        yield table(_HEAD, [_row(result) for result in results if result.payload == whole])
        if len({result.payload for result in results}) > 1:
            yield f"{colour.capitalize()}hronous, by payload, ours ÷ it:"
            yield _by_payload(results, payloads)


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.operation,
        result.other,
        str(result.ratio),
        f"{1 / result.ratio.median:.2f}",
        "" if result.target is None else result.target.verdict(result.ratio.median),
        f"{result.ours_us:.1f}",
        f"{result.other_us:.1f}",
    )


def _by_payload(results: Sequence[Result], payloads: Sequence[str]) -> str:
    ratios = {(result.operation, result.other, result.payload): f"{result.ratio.median:.2f}" for result in results}
    rows = dict.fromkeys((operation, other) for operation, other, payload in ratios if payload != HALF.name)
    return table(
        ["operation", "against", *payloads],
        [[*row, *(ratios.get((*row, payload), "") for payload in payloads)] for row in rows],
    )


def glance(found: Iterable[Result]) -> str:
    """Return the ratios that have a target, a line for each engine and other side."""
    promised: dict[tuple[str, str], dict[str, str]] = {}
    for result in found:
        if result.target is not None:
            cell = f"{result.ratio.median:.2f} ({result.target.verdict(result.ratio.median)})"
            promised.setdefault((result.engine, result.other), {})[result.operation] = cell
    rows = [[*pair, *(cells.get(operation, "") for operation in BASIC)] for pair, cells in promised.items()]
    return table(["engine", "against", *BASIC], rows)


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return how many targets are met, and which are not."""
    missed = [verdict for verdict in verdicts if verdict.misses]
    met = f"Targets: {len(verdicts) - len(missed)} of {len(verdicts)} met."
    return "\n".join([met, *(f"- missed: {verdict}" for verdict in missed)])


def absent(left_out: Iterable[LeftOut]) -> str:
    """Return who was left out, and why, as a list."""
    lines = dict.fromkeys(f"- {one.engine}, {one.name}: {one.reason}" for one in left_out)
    return "\n".join(lines) or "Nobody."
