"""The scripts of a clone, in an environment that scripts/demo has made: the package with its extras, and no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.demo import ROOT

pytestmark = pytest.mark.slow

PYTHON = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in *"import mypy"*) exit 1 ;; esac
"""


@pytest.mark.parametrize("script", ["check", "mongodb-acceptance", "rooms"])
def test_script_after_the_demo_installs_what_it_needs_beside_the_package(script: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    programs, calls = tmp_path / ".venv" / "bin", tmp_path / "calls"
    programs.mkdir(parents=True)
    for name in ("python", "pytest", "cc", "pkg-config"):  # pytest comes with the extra [testing]
        (programs / name).write_text(PYTHON if name == "python" else "#!/bin/sh\n")
        (programs / name).chmod(0o755)
    variables = {key: value for key, value in os.environ.items() if key != "PROJECT_VENV"}
    subprocess.run(
        [tmp_path / "scripts" / script, "mongodb://127.0.0.1:1/x"],
        env={**variables, "CALLS": str(calls), "PATH": f"{programs}:{variables['PATH']}"},
        capture_output=True,
        check=False,
    )
    assert "--group dev" in calls.read_text()
