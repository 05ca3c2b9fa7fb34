"""Where the demo keeps its sessions, by variables of the environment.

- MULTISESSION_ENGINE: a short name such as ``redis`` (default ``db``), or the dotted path of an engine module.
- MULTISESSION_LOCATION: a URL; for memcached ``host:port``, more than one with commas; for postgresql, and for db
  elsewhere than in the demo's SQLite file, ``postgresql://user:password@host:port/database``. Without it the
  server is at its standard local address; PostgreSQL and its login as in compose.yaml.
- MULTISESSION_TIMEOUT: seconds that a request waits for it at most.
- MULTISESSION_NAMED: further sessions, each named as its engine: a JSON object of engines to locations (or null).
- MULTISESSION_MISSING: what the start page says of engines that are not there: a JSON object of engines to reasons.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

POSTGRESQL = "postgresql://multisession:not-a-secret@127.0.0.1:5432/multisession"
ALIAS = "sessions"
"""The key of DATABASES for the default session, if that is not in the demo's own database."""
VARIETY: dict[str, dict[str, Any]] = {
    "redis": {"COOKIE": {"MAX_AGE": 20 * 60}},
    "memcached": {"COOKIE": {"MAX_AGE": 60 * 60}},
    "mongodb": {"COOKIE": {"MAX_AGE": 7 * 24 * 60 * 60}},
    "postgresql": {"COOKIE": {"SAMESITE": "Strict"}},
    "signed_cookies": {"COOKIE": {"MAX_AGE": 0}},
    "encrypted_cookies": {"CHUNKS": 3},
}
"""What the named sessions have beside engine and location, so that there is a difference to see."""

_engine = os.environ.get("MULTISESSION_ENGINE") or "db"
_location = os.environ.get("MULTISESSION_LOCATION") or (POSTGRESQL if _engine == "postgresql" else None)
_named: dict[str, str | None] = json.loads(os.environ.get("MULTISESSION_NAMED") or "{}")


def session_engine() -> str:
    """Return SESSION_ENGINE."""
    return _path(_engine)


def databases() -> dict[str, dict[str, Any]]:
    """Return the entries of DATABASES that the engines need beside the demo's own, if any."""
    places = {ALIAS: (_engine, _location), **{name: (name, location) for name, location in _named.items()}}
    return {
        alias: _database(engine, location)
        for alias, (engine, location) in places.items()
        if engine in ("db", "postgresql") and location is not None
    }


def multisession() -> dict[str, dict[str, Any]]:
    """Return MULTISESSION."""
    entries = {name: {"ENGINE": _path(name), **_entry(name, at, name)} for name, at in _named.items()}
    for name, entry in entries.items():
        entry.update(VARIETY.get(name, {}))
    default = _entry(_engine, _location, ALIAS)
    return {"default": default, **entries} if default else entries


def missing() -> dict[str, str]:
    """Return why engines are not there, by their names."""
    reasons: dict[str, str] = json.loads(os.environ.get("MULTISESSION_MISSING") or "{}")
    return reasons


def _path(engine: str) -> str:
    return engine if "." in engine else f"django_multisession.engines.{engine}"


def _entry(engine: str, location: str | None, alias: str) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if location is not None and engine in ("db", "postgresql"):
        entry["LOCATION"] = alias
    elif location is not None:
        entry["LOCATION"] = location.split(",") if engine == "memcached" else location
    if "MULTISESSION_TIMEOUT" in os.environ:
        entry["TIMEOUT"] = float(os.environ["MULTISESSION_TIMEOUT"])
    return entry


def _database(engine: str, location: str) -> dict[str, Any]:
    url = urlsplit(location)
    if url.scheme not in ("postgresql", "postgres") or len(url.path) < 2:
        raise ImproperlyConfigured(
            f"MULTISESSION_LOCATION must be postgresql://user:password@host:port/database for the engine {engine!r}."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path[1:]),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": url.hostname or "",
        "PORT": str(url.port or ""),
        "OPTIONS": {"connect_timeout": 2},  # seconds
    }
