"""The package as it is installed: its distributions, and an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "scripts" / "lib" / "constraints.txt"


def run(*command: str | Path, **options: Any) -> str:
    """Run a command that must succeed, and return what it prints."""
    result: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def bare_environment() -> dict[str, str]:
    """Return the variables without what the tests set: neither this checkout nor its settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DJANGO", "COVERAGE"))}


def build(directory: Path) -> dict[str, Path]:
    """Build the sdist, and the wheel from it; return them by their suffix."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT)
    return {path.suffix: path for path in directory.iterdir()}


def install(directory: Path, *requirements: str) -> Path:
    """Make a virtual environment with the requirements in it, and return the directory of its programs."""
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    options = ("--quiet", "--no-warn-script-location", "--disable-pip-version-check", "--constraint", CONSTRAINTS)
    run(sys.executable, "-m", "pip", "--python", directory / "bin" / "python", "install", *options, *requirements)
    return directory / "bin"
