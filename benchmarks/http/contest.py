"""Sides against each other: their sites are up at the same time, and take turns under load."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from benchmarks.http.load import Load, LoadError, drive
from benchmarks.http.sides import HttpSide
from benchmarks.http.threads import ThreadCount
from benchmarks.http.visitors import check, log_in
from benchmarks.http.web import WebServer

PAGES = ("none", "read", "change")
CONNECTIONS = (1, 32, 256)


@dataclass(frozen=True)
class HttpEffort:
    """How many rounds, and for how long a side is loaded in each.

    At least ``seconds``, and until each connection has got about so many ``answers``. At the start none comes for as
    long as an answer takes, which is two seconds where Django answers 256 connections: a load of that length would
    measure little else. What is lost by the start is the same share on all sides if all give as many answers.
    """

    rounds: int
    seconds: int
    answers: int


FULL = HttpEffort(rounds=5, seconds=2, answers=8)
QUICK = HttpEffort(rounds=3, seconds=1, answers=4)
LONGEST = 12
"""Seconds of a load, at most."""

PROBED = 32
"""Connections of the load that finds out how fast a side is, and fills its caches: more are no faster."""
VISITORS_A_CONNECTION = 4
REST = 0.2
"""Seconds between two loads, in which a server sees that its clients are gone."""
PATIENCE = 30.0
"""Seconds after which a server that answers nothing is taken for broken."""


@dataclass
class Measured:
    """The loads of a side on one page, one for each round, and the most threads that its server had."""

    loads: list[Load] = field(default_factory=list)
    threads: int = 0


class RunningSide:
    """A side with its site up, and visitors who have logged in there."""

    def __init__(self, name: str, web: WebServer, cookies: Path) -> None:
        self.name = name
        self._web = web
        self._cookies = cookies

    def load(self, page: str, connections: int, seconds: int) -> tuple[Load, int]:
        """Load a page; return what came of it and the most threads of the server."""
        try:
            with ThreadCount(self._web.pid) as threads:
                load = drive(f"{self._web.location}/{page}/", self._cookies, connections, seconds)
        except LoadError as error:
            raise LoadError(f"{self.name} under {self._web.name}: {error}\n{self._web.log_tail()}") from error
        self._recover()
        return load, threads.peak

    def _recover(self) -> None:
        """Wait until the server has dealt with what was under way when wrk left: it is not the next side's load."""
        deadline = time.monotonic() + PATIENCE
        while True:
            time.sleep(REST)
            try:
                if self._web.answers():
                    return
            except OSError:  # it takes longer than the raw connection of a test server waits
                if time.monotonic() > deadline:
                    raise


@contextmanager
def running(sides: Sequence[HttpSide], kind: type[WebServer], connections: int) -> Iterator[list[RunningSide]]:
    """Serve all sides until the end of the block, ready for so many connections at most."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="http-benchmark-")))
        found = []
        for number, side in enumerate(sides):
            web = stack.enter_context(kind(side.settings))
            check(web.port)
            cookies = directory / f"cookies-{number}"
            cookies.write_text("".join(f"{line}\n" for line in log_in(web.port, connections * VISITORS_A_CONNECTION)))
            found.append(RunningSide(side.name, web, cookies))
        yield found


def measure(sides: Sequence[RunningSide], page: str, connections: int, effort: HttpEffort) -> dict[str, Measured]:
    """Return what each side did, round by round; a round's sides come in random order."""
    found = {side.name: Measured() for side in sides}
    seconds = {side.name: _seconds(side, page, connections, effort) for side in sides}
    for _ in range(effort.rounds):
        for side in random.sample(list(sides), len(sides)):
            load, threads = side.load(page, connections, seconds[side.name])
            measured = found[side.name]
            measured.loads.append(load)
            measured.threads = max(measured.threads, threads)
    return found


def _seconds(side: RunningSide, page: str, connections: int, effort: HttpEffort) -> int:
    """Return for how long to load a side; wrk knows whole seconds."""
    probe, _ = side.load(page, min(connections, PROBED), 1)
    return min(LONGEST, max(effort.seconds, ceil(effort.answers * connections / probe.rps)))
