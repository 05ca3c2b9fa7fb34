"""The supported pairs of Python and Django, and the ends of the ranges of what we depend on: `nox --list`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
# A Django, and the oldest Python that it is tested with.
PAIRS = {"3.11": "5.2", "3.12": "6.0", "3.13": "6.1"}
OLDEST, NEWEST = min(PAIRS), max(PAIRS)
# What starts many processes, builds, installs or needs a browser is the newest pair's alone.
CORE = ("tests/unit", "tests/contract", "tests/django_suite", "tests/middleware", "tests/moving", "tests/registry")
CLIENTS = ("tests/unit", "tests/contract", "tests/stores")
WITHOUT_SERVERS = ("-m", "not server")
# What CI installs, so that no release of another package stops a change of ours; the session `constraints` renews both.
CONSTRAINTS = Path("scripts/lib/constraints.txt")
LOWEST_CONSTRAINTS = Path("scripts/lib/constraints-lowest.txt")

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


def _install(session: nox.Session, *requirements: str, constraints: Path | None = None) -> None:
    test_group = nox.project.dependency_groups(PYPROJECT, "test")
    pinned = ["-c", str(constraints)] if constraints else []
    session.install(*pinned, "-e", ".[all,testing]", *test_group, *requirements)
    session.run_install("python", "scripts/lib/django_source.py")


def _install_pair(session: nox.Session) -> None:
    """Install the Django that is tested with this Python, and everything else as for the newest."""
    pinned = session.create_tmp() + "/constraints.txt"
    lines = CONSTRAINTS.read_text().splitlines(keepends=True)
    Path(pinned).write_text("".join(line for line in lines if not line.startswith("Django==")))
    _install(session, f"Django~={PAIRS[str(session.python)]}.0", constraints=Path(pinned))


def _test(session: nox.Session, *chosen: str) -> None:
    # Servers are found on the PATH, and CI fails where one is absent.
    session.run("python", "-m", "pytest", "-q", "-n", "3", *chosen, *session.posargs)


def _lower_bounds() -> list[str]:
    """Return each requirement of the package and its extras at the lowest version that it names."""
    project = PYPROJECT["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    return [re.sub(r">=([^,]+).*", r"==\1", each) for each in declared if not each.startswith(project["name"])]


@nox.session(python=list(PAIRS))
def tests(session: nox.Session) -> None:
    """Run the tests on a supported pair; on the older ones without tests/system and tests/browser."""
    _install_pair(session)
    _test(session, *(() if session.python == NEWEST else CORE))


@nox.session(python=list(PAIRS)[1:-1], default=False)
def between(session: nox.Session) -> None:
    """Run what needs no server on the pairs between the oldest and the newest: the clients are tested on these."""
    _install_pair(session)
    _test(session, *CORE, "-m", "not server and not slow")


@nox.session(python=OLDEST, default=False)
def lowest(session: nox.Session) -> None:
    """Run on the oldest Python, and of each dependency the lowest version that pyproject.toml allows."""
    _install(session, *_lower_bounds(), constraints=LOWEST_CONSTRAINTS)
    # The contracts of stores and sessions ask every client library for all that it is asked for; what takes long is
    # the newest pair's, and so is another server behind the same client. Some of it waits for servers that hang.
    _test(session, *CLIENTS, "-m", "not slow and not same_client", "-n", "4")


@nox.session(python=NEWEST, default=False)
def prerelease(session: nox.Session) -> None:
    """Run on the newest Python and what our dependencies are about to release."""
    _install(session, constraints=CONSTRAINTS)
    names = [re.split(r"[<>=]", each)[0] for each in _lower_bounds()]
    session.install("--upgrade", "--pre", *names)
    # Django's own tests come with its releases.
    _test(session, *CLIENTS, "tests/middleware", *WITHOUT_SERVERS)


@nox.session(python=[OLDEST, NEWEST], default=False, reuse_venv=False)
def constraints(session: nox.Session) -> None:
    """Write down the newest releases of what tests and tools need, to be tested and committed."""
    if session.python == OLDEST:
        _install(session, *_lower_bounds())
        written = LOWEST_CONSTRAINTS
    else:
        _install(session, *nox.project.dependency_groups(PYPROJECT, "dev"))
        written = CONSTRAINTS
    frozen = session.run("python", "-m", "pip", "freeze", "--exclude-editable", silent=True)
    written.write_text(f"# Written by `nox --session constraints`.\n{frozen}")
