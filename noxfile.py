"""The supported pairs of Python and Django: `nox --session older`, or one of `nox --list`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
# A Django, and the oldest Python that it is tested with.
PAIRS = {"3.11": "5.2", "3.12": "6.0", "3.13": "6.1"}
OLDEST, NEWEST = min(PAIRS), max(PAIRS)
# What starts many processes, builds, installs or needs a browser is the newest pair's alone, and so is what is
# particular to one client library.
OLDER_PATHS = ("tests/unit", "tests/contract", "tests/django_suite", "tests/middleware")
# Between the two, what depends on Django: the newest and the oldest pair have shown that the clients do their part.
WITHOUT_CLIENTS = ("-k", "not Redis and not Memcached and not MongoDB and not TestPostgreSQL")

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"


def _pyenv_interpreters() -> list[str]:
    """Return the directories of pyenv's interpreters, which need not be on the PATH."""
    root = os.environ.get("PYENV_ROOT", str(Path("~/.pyenv").expanduser()))
    if shutil.which("pyenv"):
        root = subprocess.check_output(["pyenv", "root"], text=True).strip()
    found = (list(Path(root, "versions").glob(f"{minor}.*/bin")) for minor in PAIRS)
    return [str(newest[-1]) for versions in found if (newest := sorted(versions))]


# Before the PATH: pyenv's shims on it refuse to run what `pyenv global` does not name.
os.environ["PATH"] = os.pathsep.join([*_pyenv_interpreters(), os.environ["PATH"]])


def _run(session: nox.Session, django: str) -> None:
    test_group = nox.project.dependency_groups(PYPROJECT, "test")
    session.install("-e", ".[all,testing]", *test_group, f"Django~={django}.0")
    session.run("python", "scripts/lib/django_source.py")
    # Servers are found on the PATH, and CI fails where one is absent.
    if session.python == NEWEST:
        session.run("python", "-m", "pytest", *session.posargs)
    else:
        chosen = OLDER_PATHS if session.python == OLDEST else (*OLDER_PATHS, *WITHOUT_CLIENTS)
        session.run("python", "-m", "pytest", "-n", "2", *chosen, *session.posargs)


@nox.session(python=list(PAIRS), tags=["all"])
def tests(session: nox.Session) -> None:
    """Run the tests on a supported pair; on the older ones without tests/system and tests/browser."""
    _run(session, PAIRS[str(session.python)])


@nox.session(python=False, default=False)
def older(session: nox.Session) -> None:
    """Run the tests on every pair but the newest."""
    for minor in PAIRS:
        if minor != NEWEST:
            session.notify(f"tests-{minor}", posargs=session.posargs)
