"""The command: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.project import set_up

set_up()  # before what imports models

from benchmarks import http, page, round_trips, untouched  # noqa: E402 - see above
from benchmarks.contests import CONTESTS, Contest  # noqa: E402 - see above
from benchmarks.payload import PAYLOADS  # noqa: E402 - see above
from benchmarks.report import sections  # noqa: E402 - see above
from benchmarks.results import CPU, Results, Series, about  # noqa: E402 - see above
from benchmarks.rounds import FULL, QUICK, measure  # noqa: E402 - see above
from benchmarks.sides import Side  # noqa: E402 - see above
from benchmarks.targets import missed  # noqa: E402 - see above

RESULTS = Path(__file__).with_name("results.json")
PARTS = [*dict.fromkeys(contest.name.partition(",")[0] for contest in CONTESTS), "http", "untouched"]
_PACKAGES = (
    *("Django", "django-multisession", "redis", "hiredis", "pymemcache", "psycopg", "cryptography", "uvicorn"),
    *("django-redis", "django-redis-sessions", "django-user-sessions", "django-qsessions", "Flask-Session"),
)


class Run:
    """One run: what it has measured so far, what it ran on, and who could not take part."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.programs = [named for package in _PACKAGES if (named := _named(package))]
        self.left_out: list[str] = []

    def contest(self, contest: Contest) -> Iterator[Series]:
        """Yield the times of a contest, and its round trips where these are counted."""
        if reason := contest.missing():
            self.left_out.append(f"{contest.name}: {reason}")
            return
        if contest.kind is None:
            yield from self._times(contest, None)
            return
        with contest.kind(*contest.options) as server:
            self.programs.append(f"{server.name} server {server.version()}")
            yield from self._times(contest, server.location)
            if contest.name in round_trips.COUNTED:
                yield from round_trips.count(contest, server)

    def _times(self, contest: Contest, location: object) -> Iterator[Series]:
        with contest.at(location) as makers:
            for size, operations in contest.operations.items():
                sides: dict[str, Side] = {}
                for name, make in makers.items():
                    try:
                        sides[name] = make(PAYLOADS[size])
                    except ImportError as error:
                        self.left_out.append(f"{contest.name}, {name}: {error}")
                for operation in operations:
                    _progress(f"{contest.name}, {operation}, {size}")
                    for name, values in measure(sides, operation, QUICK if self.quick else FULL).items():
                        wall, cpu = zip(*values, strict=True)
                        yield Series(contest.name, operation, size, name, wall)
                        if contest.kind:  # without a server it is the same
                            yield Series(f"{CPU}, {contest.name}", operation, size, name, cpu)

    def http(self) -> Iterator[Series]:
        """Yield the requests over HTTP."""
        if reason := http.missing():
            self.left_out.append(f"http: {reason}")
            return
        _progress(f"{http.NAME}, {http.CONNECTIONS} connections")
        try:
            yield from http.measure(rounds=1, answers=3) if self.quick else http.measure(rounds=5, answers=6)
        except http.LoadError as error:
            self.left_out.append(f"http: {error}")

    def untouched(self) -> Iterator[Series]:
        """Yield the CPU time of the middleware."""
        _progress(untouched.NAME)
        yield from untouched.measure(rounds=10 if self.quick else 60)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it; return 1 if a target is missed, with --quick by half."""
    asked = _parser().parse_args(arguments)
    if asked.docs:
        page.write(Results.read(asked.json or RESULTS))
        return 0
    run = Run(asked.quick)
    parts = asked.part or PARTS
    series = [one for contest in CONTESTS if contest.name.partition(",")[0] in parts for one in run.contest(contest)]
    series += run.http() if "http" in parts else ()
    series += run.untouched() if "untouched" in parts else ()
    results = Results(series, about(dict.fromkeys(run.programs)))
    print(*sections(results).values(), *(f"left out: {line}" for line in run.left_out), sep="\n\n")
    whole = not asked.quick and not asked.part
    if path := asked.json or (RESULTS if whole else None):
        results.write(path)
    return int(bool(missed(results.ratios(), factor=2 if asked.quick else 1)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the engines against Django's, other packages and the bare clients, taking turns on "
        "servers that are started for it. A ratio is how many times as fast ours is: above 1, ours is faster.",
    )
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; fails late")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where results go; of a whole run by default beside this"
    )
    parser.add_argument(
        "--docs", action="store_true", help="measure nothing: write docs/benchmarks.md's figures from the results"
    )
    return parser


def _named(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None


def _progress(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
