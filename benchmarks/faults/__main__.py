"""The command: ``python -m benchmarks.faults --help``."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.faults import COLD, FAULTS, MOMENTARY
from benchmarks.faults.places import NAMES, SITE, TIMEOUT, Place, missing, place
from benchmarks.faults.visitors import PATIENCE, Visitor, crowd
from django_multisession.testing.servers.base import ServerError
from django_multisession.testing.servers.web import WEB_SERVERS, UvicornServer, WebServer

KINDS = tuple(kind.name for kind in WEB_SERVERS)
PAGE = Path(__file__).parents[2] / "docs" / "outages.md"
LONGEST = TIMEOUT + 0.25
RECOVERY = 1.0
"""Goals in seconds; that of changes lost and of users logged out is none."""
SERVED = RECOVERY + 0.25
"""Seconds for which everybody has to be served before nobody looks any more: longer than a breaker waits to probe."""


class Cell(NamedTuple):
    """What the visitors of one web server noticed of one fault of one backend."""

    fault: str
    backend: str
    web: str
    requests: int
    lost: int
    logged_out: int
    unavailable: int
    failures: int
    longest: float
    recovery: float

    @property
    def missed(self) -> list[str]:
        """The goals that are missed, in words."""
        found = {
            f"{self.lost} changes lost": self.lost,
            f"{self.logged_out} users logged out": self.logged_out,
            f"{self.failures} answers other than 200 and 503": self.failures,
            f"longest request {self.longest:.2f} s": self.longest > LONGEST,
            f"recovery after {self.recovery:.2f} s": self.recovery > RECOVERY,
        }
        return [f"{self.fault}, {self.backend}, {self.web}: {text}" for text, is_missed in found.items() if is_missed]


class Broken(NamedTuple):
    """A cell that could not be measured, and why."""

    fault: str
    backend: str
    web: str
    reason: str

    @property
    def missed(self) -> list[str]:
        """See Cell.missed."""
        return [f"{self.fault}, {self.backend}, {self.web}: not measured: {self.reason}"]


def measure(fault: str, at: Place, web: WebServer, seconds: float) -> Cell:
    """Have a fault last so many seconds, and look until everybody has been served for a while after it."""
    begin, _ = FAULTS[fault]
    with crowd(web.port, isinstance(web, UvicornServer)) as visitors:
        began = time.monotonic()
        if fault == COLD:
            time.sleep(seconds)
            ended = time.monotonic()
        else:
            _wait_until_all_have_counted(visitors, at, web)
            began = time.monotonic()
            with begin(at):
                time.sleep(0 if fault in MOMENTARY else seconds)
            ended = time.monotonic()
            _wait_until_all_are_served(visitors, ended)
    answers = [answer for visitor in visitors for answer in visitor.answers]
    bad = [answer for answer in answers if answer.status != 200]
    return Cell(
        fault,
        at.name,
        web.name,
        requests=len(answers),
        lost=sum(visitor.lost for visitor in visitors),
        logged_out=sum(visitor.is_logged_out for visitor in visitors),
        unavailable=sum(answer.status == 503 for answer in bad),
        failures=sum(answer.status != 503 for answer in bad),
        longest=max(answer.seconds for answer in answers if answer.ended > began),
        recovery=max([0.0, *(answer.ended - ended for answer in bad)]),
    )


def _wait_until_all_have_counted(visitors: Sequence[Visitor], at: Place, web: WebServer) -> None:
    ends = time.monotonic() + PATIENCE
    while not all(visitor.has_counted for visitor in visitors):
        if time.monotonic() > ends:
            raise ServerError(f"{at.name} behind {web.name} serves nobody:\n{web.log_tail(40)}")
        time.sleep(0.05)


def _wait_until_all_are_served(visitors: Sequence[Visitor], ended: float) -> None:
    quiet_since = ended
    while (left := min(quiet_since + SERVED, ended + PATIENCE) - time.monotonic()) > 0:
        time.sleep(left)
        answers = chain.from_iterable([*visitor.answers] for visitor in visitors)
        quiet_since = max([ended, *(answer.ended for answer in answers if answer.status != 200)])


def measured(asked: Sequence[str], seconds: float) -> Iterator[Cell | Broken]:
    """Yield what was asked for: of each kind of word (fault, backend, web server) all, where none of it is named."""

    def chosen(names: Sequence[str]) -> list[str]:
        return [name for name in names if name in asked] or list(names)

    for backend in chosen(NAMES):
        if reason := missing(backend):
            print(f"left out: {reason}", file=sys.stderr)
            continue
        faults = [fault for fault in chosen([*FAULTS]) if backend in FAULTS[fault][1]]
        kinds = [kind for kind in WEB_SERVERS if kind.name in chosen(KINDS)]
        left = deque((kind, fault) for kind in kinds for fault in faults)
        while left:
            try:
                yield from _measured_of(backend, left, seconds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
                # It may have left its servers in any state: those after it get new ones.
                kind, fault = left.popleft()
                print(fault, backend, kind.name, error, file=sys.stderr, flush=True)
                yield Broken(fault, backend, kind.name, f"{type(error).__name__}: {error}".splitlines()[0])


def _measured_of(backend: str, left: deque[tuple[type[WebServer], str]], seconds: float) -> Iterator[Cell]:
    """Yield what is left to measure of a backend, and take it from there."""
    with place(backend) as at:
        while left:
            kind, first = left[0]
            # A cold start has a web server of its own, which starts under the load.
            with FAULTS[COLD][0](at) if first == COLD else nullcontext(), kind(SITE, at.variables) as web:
                while left and left[0][0] is kind and (left[0][1] == COLD) == (first == COLD):
                    cell = _told(measure(left[0][1], at, web, seconds), web)
                    left.popleft()
                    yield cell


def _told(cell: Cell, web: WebServer) -> Cell:
    print(*cell, file=sys.stderr, flush=True)
    if cell.failures or cell.lost or cell.logged_out:
        print(web.log_tail(60), file=sys.stderr, flush=True)
    return cell


def table(found: Sequence[Cell | Broken]) -> str:
    """Return a row for each fault of each backend, in which the web servers stand side by side."""
    kinds = [kind for kind in KINDS if any(cell.web == kind for cell in found)]
    heads = f"503 ({' / '.join(kinds)}) | longest request, s | recovery, s"
    lines = [
        f"| fault | store | requests | lost | logged out | {heads} |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for fault in FAULTS:
        for backend in NAMES:
            row = [cell for cell in found if (cell.fault, cell.backend) == (fault, backend)]
            cells = {cell.web: cell for cell in row if isinstance(cell, Cell)}
            if row:
                sums = [sum(each) for each in zip([0, 0, 0], *(cell[3:6] for cell in cells.values()), strict=True)]
                side_by_side = [cells.get(kind) for kind in kinds]
                sides = [
                    " / ".join(str(cell.unavailable) if cell else "-" for cell in side_by_side),
                    " / ".join(f"{cell.longest:.2f}" if cell else "-" for cell in side_by_side),
                    " / ".join(f"{cell.recovery:.2f}" if cell else "-" for cell in side_by_side),
                ]
                lines.append(f"| {' | '.join([fault, backend, *map(str, sums), *sides])} |")
    return "\n".join(lines)


def _goals(found: Sequence[Cell | Broken]) -> str:
    longest = f"the longest request at most {LONGEST:.2f} s"
    goals = f"Goals: no change lost, nobody logged out, {longest}, recovery within {RECOVERY:.0f} s."
    missed = [f"- {line}" for cell in found for line in cell.missed]
    return "\n".join([f"{goals} Missed:", "", *missed]) if missed else f"{goals} All are met."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it; return 1 if a goal is missed, or something could not be measured."""
    words = [*FAULTS, *NAMES, *KINDS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description="Fail the servers of a site under load, each in its ways, and print what its visitors noticed.",
    )
    parser.add_argument("only", nargs="*", choices=[[], *words], metavar="ONLY", help=f"of {', '.join(words)}")
    parser.add_argument("--quick", action="store_true", help="faults of 1 s, not of 3")
    parser.add_argument("--docs", action="store_true", help=f"write the table into docs/{PAGE.name} as well")
    asked = parser.parse_args(arguments)
    if asked.docs and asked.only:
        parser.error("--docs takes a whole run")
    if reason := next(filter(None, (kind.available() for kind in WEB_SERVERS)), None):
        parser.error(reason)
    seconds = 1.0 if asked.quick else 3.0
    found = list(measured(asked.only, seconds))
    load = f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {os.getloadavg()[2]:.1f} in the last 15 minutes"
    text = f"{table(found)}\n\nEach fault for {seconds:.0f} s; {load}. {_goals(found)}"
    print(text)
    if asked.docs:
        mark = re.compile(r"(<!-- faults -->\n).*?(<!-- end -->)", re.DOTALL)
        PAGE.write_text(mark.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", PAGE.read_text()))
    return int(any(cell.missed for cell in found))


if __name__ == "__main__":
    sys.exit(main())
