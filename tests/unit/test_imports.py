"""Who may import whom: the rooms of the package and its client libraries."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import django_multisession

PACKAGE = "django_multisession"
ROOT = Path(django_multisession.__file__).parent

# From the ground up, as docs/architecture.md has it: a module imports from rooms before its own, or from its own.
_PAGE = (ROOT.parent / "docs" / "architecture.md").read_text()
_TABLE = re.search(r"^\| room \|.*\n\|---.*\n((?:\|.*\n)+)", _PAGE, re.MULTILINE)
assert _TABLE
ROOMS = [set(re.findall(r"`(\w+)/?`", row.split("|")[1])) for row in _TABLE[1].splitlines()]

# Client libraries, the modules that may import them, and the extra to install.
LIBRARIES = {
    "redis": ("stores.redis", "redis"),
    "hiredis": ("stores.redis", "redis"),
    "pymemcache": ("stores.memcached", "memcached"),
    "pymongo": ("stores.mongodb", "mongodb"),
    "bson": ("stores.mongodb", "mongodb"),
    "psycopg": ("stores.postgresql", "postgresql"),
    "msgspec": ("serializers", "typed"),
    "python_ipware": ("registry.networks", "registry"),
    "ua_parser": ("registry.agents", "registry"),
}
# A store's second file with another name.
FAMILIES = {"sessions.body": "serializers", "base64url": "serializers"}
ENGINES = sorted(path.stem for path in (ROOT / "engines").glob("[a-z]*.py"))


def name_of(path: Path) -> str:
    """Return a file's module name below the package: ``stores.redis``; "" for the package's own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def imported_by(module: str) -> set[str]:
    """Return the full names of all that a module imports anywhere in its code, types included."""
    path = MODULES[module]
    here = f"{PACKAGE}.{module}".rstrip(".").split(".")
    package = here if path.stem == "__init__" else here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}".removeprefix(f"{PACKAGE}.")
                found.add(f"{PACKAGE}.{inner}" if inner in MODULES else source)
    return found


def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    found = {name for name in imported_by(module) if name.startswith(f"{PACKAGE}.")}
    return {name.removeprefix(f"{PACKAGE}.") for name in found} - {module}


def room_of(module: str) -> int:
    top = module.partition(".")[0]
    return next(number for number, room in enumerate(ROOMS) if top in room)


def is_part_of(module: str, owner: str) -> bool:
    """Tell whether a module is its owner or one of its further files, such as stores.redis.location."""
    module = FAMILIES.get(module, module)
    return module == owner or module.startswith(f"{owner}.")


@pytest.mark.parametrize("module", [module for module in MODULES if module])
def test_module_imports_from_lower_rooms_only(module: str) -> None:
    above = {name for name in own_imports(module) if room_of(name) > room_of(module)}
    assert above == set()


def test_imports_have_no_cycle() -> None:
    graph = {module: own_imports(module) for module in MODULES if module}
    assert set(TopologicalSorter(graph).static_order()) >= graph.keys()


PURE = {
    "stores",
    "codec",
    "merge",
    "equality",
    "envelope",
    "keys",
    "deadline",
    "breaker",
    "bridge",
    "loop_time",
    "runtime",
}
"""What runs without Django's sessions."""


def all_imports(module: str) -> set[str]:
    """Return what a module imports, and what that imports in turn, within the package."""
    found: set[str] = set()
    ahead = {module}
    while ahead:
        found |= ahead
        ahead = {inner for name in ahead for inner in own_imports(name)} - found
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if module.partition(".")[0] in PURE])
def test_core_knows_nothing_of_djangos_sessions(module: str) -> None:
    names = {name for inner in all_imports(module) for name in imported_by(inner)}
    assert not {name for name in names if name.startswith("django.contrib.sessions")}


@pytest.mark.parametrize("library", LIBRARIES)
def test_library_is_imported_by_its_own_module_alone(library: str) -> None:
    owner, _ = LIBRARIES[library]
    importers = {module for module in MODULES if any(name.partition(".")[0] == library for name in imported_by(module))}
    assert {module for module in importers if not is_part_of(module, owner)} == set()


def test_contract_suite_alone_imports_pytest() -> None:
    importers = {module for module in MODULES if "pytest" in imported_by(module)}
    assert {module.partition(".")[0] for module in importers} == {"testing"}


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_is_about_ten_lines(engine: str) -> None:
    assert len((ROOT / "engines" / f"{engine}.py").read_text().splitlines()) <= 15


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("testing")])
def test_module_is_read_in_one_sitting(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) <= 250
