"""The command: ``python -m benchmarks.http --help``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.environment import environment
from benchmarks.http import as_json, missing, programs, run, tables
from benchmarks.http.contest import CONNECTIONS, PAGES
from benchmarks.http.sides import ENTRANTS
from benchmarks.http.web import WEB_SERVERS
from benchmarks.report import absent

T = TypeVar("T")

TWICE = 2.0
"""How far off a target may be before a quick run fails."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it; return 1 if a target is missed, with --quick by far."""
    asked = _parser().parse_args(arguments)
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    about = {**environment(), "programs": "; ".join(programs())}
    print(*(f"- {name}: {value}" for name, value in about.items()), sep="\n", flush=True)
    found, left_out = run(
        asked.engine,
        quick=asked.quick,
        log=lambda line: print(line, file=sys.stderr, flush=True),
        servers=asked.server,
        pages=asked.page,
        connections=asked.connections,
    )
    print("", *tables(found), "", "Left out:", "", absent(left_out), sep="\n")
    if asked.json:
        document = {"environment": about, "results": as_json(found)}
        asked.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return int(bool(left_out) or any(result.misses(TWICE if asked.quick else 1.0) for result in found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.http",
        description="Load a small site with wrk, under our engines and Django's. Ratios are our requests a second by "
        "the other's: above 1, ours is faster.",
    )
    parser.add_argument("--engine", type=_list(str, ENTRANTS), default=list(ENTRANTS), metavar="NAME,…")
    parser.add_argument("--server", type=_list(str, WEB_SERVERS), default=list(WEB_SERVERS), metavar="NAME,…")
    parser.add_argument("--page", type=_list(str, PAGES), default=PAGES, metavar="NAME,…")
    parser.add_argument("--connections", type=_list(int, range(1, 1001)), default=CONNECTIONS, metavar="NUMBER,…")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; fails late")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    return parser


def _list(convert: Callable[[str], T], allowed: Iterable[T]) -> Callable[[str], list[T]]:
    """Return a converter of "a,b" to a list, each of them one of those allowed."""
    known = list(allowed)

    def converted(text: str) -> list[T]:
        try:
            values = [convert(part) for part in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
        for value in values:
            if value not in known:
                shown = ", ".join(map(str, known)) if len(known) < 20 else f"{known[0]} to {known[-1]}"
                raise argparse.ArgumentTypeError(f"{value!r} is none of {shown}")
        return values

    return converted


if __name__ == "__main__":
    sys.exit(main())
