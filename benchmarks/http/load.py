"""Load from wrk: so many connections for so many seconds, and what it measured."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from django_multisession.testing.servers.base import find_program

SCRIPT = Path(__file__).with_name("visits.lua")


class LoadError(Exception):
    """A load that measured something else than answers: a status of an error, or a connection that broke."""


@dataclass(frozen=True)
class Load:
    """Requests a second, and latencies in milliseconds."""

    rps: float
    p50_ms: float
    p99_ms: float


def wrk() -> str | None:
    """Return the path of wrk, None if it is not there."""
    return find_program("wrk")


def wrk_version() -> str:
    """Return the version that wrk reports."""
    program = wrk()
    assert program
    run = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return run.stdout.split()[1]


def drive(url: str, cookies: Path, connections: int, seconds: int) -> Load:
    """Load a page with the cookies of one visitor after another, a line each; LoadError unless all was answered."""
    program = wrk()
    assert program
    # One thread sends more than any Django answers, and leaves a core of two to the site.
    size = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s"]
    command = [program, *size, "--latency", "--script", str(SCRIPT), url, "--", str(cookies)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 30)
    if run.returncode:
        raise LoadError(f"wrk on {url} failed: {run.stdout}{run.stderr}")
    measured = json.loads(run.stdout.splitlines()[-1])
    if any(measured["errors"].values()) or not measured["requests"]:
        raise LoadError(f"{url} with {connections} connections was not answered in good order:\n{run.stdout}")
    return Load(
        rps=measured["requests"] / measured["microseconds"] * 1e6,
        p50_ms=measured["p50"] / 1000,
        p99_ms=measured["p99"] / 1000,
    )
