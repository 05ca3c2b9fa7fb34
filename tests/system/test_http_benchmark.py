"""The benchmark over HTTP runs; how fast the engines really are is for a quiet machine to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.http import missing

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def programs() -> None:
    """Skip, or under CI fail, with the reason when wrk or a web server is absent."""
    reason = missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)


# The run starts a server of its own.
@pytest.mark.usefixtures("programs", "redis_server")
@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_quick_run_prints_a_ratio(server: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    contest = ["--engine", "redis", "--server", server, "--page", "read", "--connections", "32"]
    command = [sys.executable, "-m", "benchmarks.http", "--quick", *contest, "--json", str(report)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "ours ÷ it" in run.stdout
    ours, theirs = json.loads(report.read_text())["results"]
    assert (ours["side"], theirs["side"]) == ("ours", "Django's cache")
    assert ours["rps"] > 0
    assert ours["ratio"]["median"] > 0
    assert theirs["ratio"] is None


def test_unknown_page_is_refused_with_what_is_known() -> None:
    command = [sys.executable, "-m", "benchmarks.http", "--page", "create"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "'create' is none of none, read, change" in run.stderr
