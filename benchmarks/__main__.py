"""The command: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.project import set_up

set_up()  # before what imports models

from benchmarks.contests import ENTRANTS  # noqa: E402
from benchmarks.environment import environment  # noqa: E402
from benchmarks.report import as_json, heading, summary, tables  # noqa: E402
from benchmarks.results import Result, results  # noqa: E402
from benchmarks.rounds import FULL, QUICK, Effort, measure  # noqa: E402
from benchmarks.sides import OPERATIONS  # noqa: E402

TWICE = 2.0
"""How far off a target may be before a quick run, which is short and often on a busy machine, fails."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it; return 1 if a target is missed, with --quick by far."""
    asked = _parser().parse_args(arguments)
    about = environment()
    print(heading(about), flush=True)
    found: list[Result] = []
    for engine in asked.engine:
        if reason := ENTRANTS[engine].missing():
            print(f"\n{engine}: left out, {reason}", flush=True)
            continue
        for section in _contests(engine, asked.op, QUICK if asked.quick else FULL):
            found += section
            print("", *tables(section), sep="\n", flush=True)
    print("", summary(found), sep="\n")
    if asked.json:
        asked.json.write_text(as_json(about, found))
    return int(any(result.misses(TWICE if asked.quick else 1.0) for result in found))


def _contests(engine: str, operations: Sequence[str], effort: Effort) -> Iterator[list[Result]]:
    for opening in ENTRANTS[engine].openings:
        with opening() as contest:
            yield [
                result
                for operation in operations
                for result in results(contest, operation, measure(contest.sides, operation, effort))
            ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time the engines against Django's and against the bare client, on servers "
        "that are started for it. Ratios are ours ÷ theirs: below 1, ours is faster.",
    )
    parser.add_argument("--engine", type=_names(ENTRANTS), default=list(ENTRANTS), metavar="NAME,…")
    parser.add_argument("--op", type=_names(OPERATIONS), default=OPERATIONS, metavar="NAME,…")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; fails late")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    return parser


class _names:  # noqa: N801 - a converter, used like a function
    """Convert "a,b" to a list, each of them one of the allowed names."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = list(allowed)

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in self._allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(self._allowed)}")
        return names


if __name__ == "__main__":
    sys.exit(main())
