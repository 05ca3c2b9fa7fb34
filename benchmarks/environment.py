"""Where and with what a run was made."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PACKAGES = (
    *("Django", "django-multisession", "redis", "hiredis", "pymemcache"),
    *("psycopg", "pymongo", "cryptography", "msgspec", "gunicorn", "uvicorn"),
    *("django-redis", "django-redis-sessions", "django-user-sessions", "django-qsessions", "Flask-Session"),
)


def environment() -> dict[str, str]:
    """Return date, hardware and versions, each as one line of text."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": f"{_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, servers on loopback",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(filter(None, map(_named, _PACKAGES))),
        "busy": f"load average {psutil.getloadavg()[0]:.1f} before the run",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _named(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
