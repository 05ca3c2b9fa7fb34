"""What the first import of an engine costs a process that has set Django up: milliseconds, theirs and ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES: Mapping[str, Sequence[str]] = {
    "redis": ("redis", "redis.asyncio", "hiredis"),
    "memcached": ("pymemcache",),
    "postgresql": ("psycopg",),
    "mongodb": ("pymongo",),
    "encrypted_cookies": ("cryptography.hazmat.primitives.ciphers.aead",),
}
"""What an engine's client is imported by."""

_IMPORT = """
import json, sys
from importlib import import_module
from time import perf_counter
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.sessions", "django_multisession"], SECRET_KEY="not-a-secret")
django.setup()
engine, *libraries = sys.argv[1:]
times = [perf_counter()]
for library in libraries:
    import_module(library)
times.append(perf_counter())
import_module(f"django_multisession.engines.{engine}").SessionStore.entry()
times.append(perf_counter())
print(json.dumps([times[1] - times[0], times[2] - times[1]]))
"""


@dataclass(frozen=True)
class Import:
    """Milliseconds: those of the client library, and what comes on top of it."""

    engine: str
    library: float
    engine_alone: float


def imports(engines: Sequence[str], tries: int) -> Sequence[Import]:
    """Return what the engines' imports take, in the fastest of so many processes each."""
    # Compiled files of their own: whether there are any already would decide.
    with tempfile.TemporaryDirectory(prefix="imports-") as compiled:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        return [_fastest(engine, environment, tries) for engine in engines]


def _fastest(engine: str, environment: Mapping[str, str], tries: int) -> Import:
    command = [sys.executable, "-c", _IMPORT, engine, *LIBRARIES.get(engine, ())]
    times = []
    for _ in range(tries):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        times.append(json.loads(done.stdout))
    library, alone = min(times, key=sum)
    return Import(engine, library * 1000, alone * 1000)
