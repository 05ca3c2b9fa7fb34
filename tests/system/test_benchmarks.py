"""The benchmark runs, and no ratio is twice off; how fast the engines really are is for a quiet machine to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


# The fixtures skip, or fail in CI, where a server is absent; the run starts its own.
@pytest.mark.usefixtures("redis_server", "memcached_server", "postgresql_server")
def test_quick_run_prints_ratios_that_are_not_twice_off(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    engines = ["redis", "memcached", "postgresql", "signed_cookies", "encrypted_cookies"]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--engine", ",".join(engines), "--json", str(report)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "ours ÷ it" in run.stdout
    results = json.loads(report.read_text())["results"]
    assert {result["engine"] for result in results} == set(engines)
    assert all(result["ratio"]["median"] > 0 for result in results)


def test_unknown_engine_is_refused_with_what_is_known() -> None:
    command = [sys.executable, "-m", "benchmarks", "--engine", "sqlite"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "'sqlite' is none of redis, memcached" in run.stderr
