"""Finds Django's source release and imports its session tests; none of them are copied into this repository."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import django
import pytest
from django.contrib.sessions.backends.base import SessionBase

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def load_session_tests() -> Any:
    """Return Django's module sessions_tests.tests; skip the module that asks, or under CI fail, if it is absent.

    DJANGO_SOURCE names the directory of a source release; the default is where scripts/lib/django_source.py
    puts that of the installed version.
    """
    version = django.get_version()
    source = Path(os.environ.get("DJANGO_SOURCE") or CACHE / f"django-{version}")
    directory = source / "tests" / "sessions_tests"
    if not directory.is_dir():
        reason = f"Django {version}'s source is absent: run python scripts/lib/django_source.py"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
        pytest.skip(reason, allow_module_level=True)
    package = ModuleType("sessions_tests")
    package.__path__ = [str(directory)]
    # The real one declares a model, whose app would have to be installed for classes that we do not run.
    models: Any = ModuleType("sessions_tests.models")
    models.SessionStore = SessionBase
    sys.modules.update({"sessions_tests": package, "sessions_tests.models": models})
    return importlib.import_module("sessions_tests.tests")
