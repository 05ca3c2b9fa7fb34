"""The benchmarks run and are read back; how fast the engines are is for a quiet machine to say."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from django_multisession.testing.servers.base import ServerError
from django_multisession.testing.servers.web import SyncServer

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are not in the sdist"),
]


def test_quick_run_prints_its_tables_and_keeps_its_results(tmp_path: Path) -> None:
    report = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "signed_cookies", "untouched", "--json", str(report)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    # 1 where a target is far off: a busy machine's business.
    assert run.returncode in {0, 1}, run.stderr
    assert "| signed_cookies | 0.5 kB  | Django's signed_cookies |" in run.stdout
    assert "targets are met" in run.stdout

    from benchmarks.results import Results

    ratios = list(Results.read(report).ratios())
    assert [one.ours.operation for one in ratios] == ["load", "change", "create", "wsgi", "asgi"]
    assert all(one.median > 0 for one in ratios)


def test_report_shows_cpu_time_apart_from_the_targets() -> None:
    from benchmarks.report import sections
    from benchmarks.results import CPU, Results, Series

    def sides(contest: str, ours: float, djangos: float) -> list[Series]:
        named = {"ours": ours, "Django's cache": djangos}
        return [Series(contest, "load", "0.5 kB", side, [seconds]) for side, seconds in named.items()]

    found = sections(Results([*sides("redis", 1e-4, 3e-4), *sides(f"{CPU}, redis", 5e-5, 2e-4)], {}))
    no_break_space = "\N{NO-BREAK SPACE}"
    assert f"| 3.00 (≥{no_break_space}2.4) |" in found["sessions"]
    assert "4.00" not in found["sessions"]
    assert re.search(r"\| redis  \| 0.5 kB  \| Django's cache  +\| 4.00 +\|", found["cpu"])
    assert found["summary"].startswith("1 of 1 targets are met.")


def test_sealing_prints_both_forms_of_each_size() -> None:
    command = [sys.executable, "-m", "benchmarks.sealing"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    line = r"^(.+): authenticated alone [\d.]+ µs a load, sealed [\d.]+ µs, [\d.]+ times as long$"
    assert re.findall(line, run.stdout, re.MULTILINE) == ["0.5 kB", "64 kB"]


@pytest.mark.skipif(SyncServer.available() is not None, reason="gunicorn is not installed")
def test_faults_print_what_visitors_noticed() -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--quick", "redis", "sync", "SIGSTOP"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    # 1 where a goal in seconds is missed.
    assert run.returncode in {0, 1}, run.stderr
    found = re.search(r"^\| SIGSTOP \| redis \| (\d+) \| 0 \| 0 \| (\d+) \|", run.stdout, re.MULTILINE)
    assert found, run.stdout + run.stderr
    assert int(found[1]) > int(found[2]) > 0


def test_faults_go_on_after_a_cell_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults: Any = importlib.import_module("benchmarks.faults.__main__")  # which is not in the sdist

    def measure(fault: str, at: Any, web: Any, seconds: float) -> Any:
        if fault == "SIGSTOP":
            at.server.kill()
            raise ServerError("no answer\nwith its log")
        return one_cell(fault, at, web, seconds)

    one_cell = faults.measure
    monkeypatch.setattr(faults, "measure", measure)
    assert faults.main(["--quick", "redis", "sync", "SIGSTOP", "terminated"]) == 1
    printed = capsys.readouterr().out
    assert "- SIGSTOP, redis, sync: not measured: ServerError: no answer\n" in printed
    assert re.search(r"^\| terminated \| redis \| [1-9]\d* \| 0 \| 0 \|", printed, re.MULTILINE)
