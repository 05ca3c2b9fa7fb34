"""The command: ``python -m benchmarks --help``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from benchmarks.project import set_up

set_up()  # before what imports models

from benchmarks import counts, page  # noqa: E402
from benchmarks.contests import Contest, LeftOut  # noqa: E402
from benchmarks.counts.report import sections as counted_sections  # noqa: E402
from benchmarks.engines import ENGINES, directly  # noqa: E402
from benchmarks.environment import environment  # noqa: E402
from benchmarks.findings import Findings  # noqa: E402
from benchmarks.options import Options, Pass, options  # noqa: E402
from benchmarks.plots import plot  # noqa: E402
from benchmarks.report import absent, heading, sections, summary  # noqa: E402
from benchmarks.results import Result, results  # noqa: E402
from benchmarks.rounds import BESIDE, FULL, QUICK, measure  # noqa: E402

TWICE = 2.0
"""How far off a target may be before a quick run, which is short and often on a busy machine, fails."""
ATTEMPTS = 3
"""How often a quick run measures before it believes that. Whoever needs more of a core that others want, as we do of
a bare client's, waits for it longer than it needs it."""
HTTP_OF_DOCS = ("redis", "memcached", "postgresql", "encrypted_cookies")
"""The engines that a page loads over HTTP, in quick rounds: all of them in full take more than an hour."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it; return 1 if a target is missed, with --quick only a ratio, and by far."""
    asked = options(arguments)
    found = Findings(environment())
    _say(heading(found.environment))
    if "sessions" in asked.parts:
        for section in _sessions(asked, found.left_out):
            found.results += section
            _say(*sections(section))
    if "counts" in asked.parts:
        found.counts = counts.run(asked.engines, asked.payloads, quick=asked.quick, log=_progress)
        _say(*counted_sections(found.counts))
    if "http" in asked.parts:
        _http(asked, found)
    verdicts = list(found.verdicts())
    _say("Left out:", absent(found.left_out))
    _say(summary(verdicts))
    if asked.json:
        asked.json.write_text(found.as_json())
    if asked.plot:
        plot(found, asked.plot)
    if asked.docs:
        page.write(found, asked.docs)
    if asked.quick:
        return int(any(verdict.is_ratio and verdict.is_far_off(TWICE) for verdict in verdicts))
    return int(any(verdict.misses for verdict in verdicts))


def _sessions(asked: Options, left_out: list[LeftOut]) -> Iterator[list[Result]]:
    """Yield the results of one contest after another."""
    for name in asked.engines:
        if reason := ENGINES[name].missing():
            left_out.append(LeftOut(name, "all", reason))
            continue
        for opening in ENGINES[name].openings:
            with opening(directly) as contest:
                found = _results(contest, asked, left_out)
                for _ in range(ATTEMPTS - 1 if asked.quick else 0):
                    if not any(verdict.is_far_off(TWICE) for result in found for verdict in result.verdicts()):
                        break
                    _progress("That is far off: once more")
                    found = _results(contest, asked, [])
            if found:
                yield found


def _results(contest: Contest, asked: Options, left_out: list[LeftOut]) -> list[Result]:
    return [result for one in asked.passes for result in _pass(contest, one, asked.quick, left_out)]


def _pass(contest: Contest, asked: Pass, quick: bool, left_out: list[LeftOut]) -> Iterator[Result]:
    _progress(f"{contest.engine} ({contest.where}), {asked.colour}, {asked.payload.name}")
    with contest.lineup(asked.payload, asked.colour) as lineup:
        left_out += lineup.left_out
        for operation in asked.operations if lineup.sides else ():
            times = measure(lineup.sides, operation, QUICK if quick else FULL if asked.promised(operation) else BESIDE)
            yield from results(contest, asked.payload, asked.colour, operation, times)


def _http(asked: Options, found: Findings) -> None:
    from benchmarks import http
    from benchmarks.http.sides import ENTRANTS

    if reason := http.missing():
        found.left_out.append(LeftOut("http", "all", reason))
        return
    found.environment["web servers"] = "; ".join(http.programs())
    for engine in asked.engines:
        if engine in ENTRANTS and asked.docs and engine not in HTTP_OF_DOCS:
            found.left_out.append(
                LeftOut(engine, "http", f"not on this page: python -m benchmarks.http --engine {engine}")
            )
        elif engine in ENTRANTS:
            measured, left_out = http.run([engine], quick=asked.quick or asked.docs is not None, log=_progress)
            found.http += measured
            found.left_out += left_out
    _say("\n".join(http.tables(found.http)))


def _say(*parts: str) -> None:
    print(*parts, "", sep="\n\n", end="", flush=True)


def _progress(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
