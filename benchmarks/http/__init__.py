"""How many requests a second a small site answers with our engines and with Django's: ``python -m benchmarks.http``.

wrk loads it over loopback, under gunicorn and uvicorn. Ratios are our requests a second by the other's: above 1, ours
is faster. (The other benchmarks compare times, where it is below 1.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.contests import LeftOut
from benchmarks.http.contest import CONNECTIONS, FULL, PAGES, QUICK, measure, running
from benchmarks.http.load import LoadError, wrk, wrk_version
from benchmarks.http.results import HttpResult, as_json, results, tables
from benchmarks.http.sides import ENTRANTS
from benchmarks.http.web import WEB_SERVERS

__all__ = ["PAGES", "HttpResult", "as_json", "missing", "programs", "run", "tables"]


def missing() -> str | None:
    """Return what the benchmark needs and is not there, or None."""
    if not wrk():
        return "wrk is not on the PATH"
    return next(filter(None, (server.available() for server in WEB_SERVERS.values())), None)


def programs() -> list[str]:
    """Return wrk and the web servers, each with its version and how it is run."""
    return [f"wrk {wrk_version()}, 1 thread", *(server.described() for server in WEB_SERVERS.values())]


def run(
    engines: Sequence[str],
    *,
    quick: bool,
    log: Callable[[str], None],
    servers: Sequence[str] = tuple(WEB_SERVERS),
    pages: Sequence[str] = PAGES,
    connections: Sequence[int] = CONNECTIONS,
) -> tuple[list[HttpResult], list[LeftOut]]:
    """Measure these engines; ``log`` is told of each line of progress.

    Returns what was measured, and the loads that a side did not answer in good order, which measure nothing. Raises
    WrongAnswer where the site is wrong about a session.
    """
    found: list[HttpResult] = []
    left_out: list[LeftOut] = []
    for engine in engines:
        entrant = ENTRANTS[engine]
        if reason := entrant.missing():
            left_out.append(LeftOut(engine, "all", reason))
            continue
        with entrant.location() as location:
            for server in servers:
                kind = WEB_SERVERS[server]
                with running(entrant.sides(location, kind), kind, max(connections)) as sides:
                    for page in pages:
                        for number in connections:
                            load = f"{server}, {page}, {number} connections"
                            log(f"{engine}: {load}")
                            try:
                                measured = measure(sides, page, number, QUICK if quick else FULL)
                            except LoadError as error:
                                left_out.append(LeftOut(engine, load, str(error).partition("\n")[0]))
                                log(f"left out: {error}")
                                continue
                            found += results(server, engine, page, number, measured)
    return found, left_out
