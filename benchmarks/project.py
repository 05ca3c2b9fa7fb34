"""A Django project for one contest after another, in one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.db import connections
from django.test.utils import override_settings

_NO_DATABASE = {"ENGINE": "django.db.backends.dummy"}


def set_up() -> None:
    """Configure Django without a server; call once, before anything else."""
    settings.configure(
        SECRET_KEY="not-a-secret-this-is-a-benchmark",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django_multisession",
        ],
        DATABASES={"default": _NO_DATABASE},
        USE_TZ=True,
    )
    django.setup()


@contextmanager
def project(
    *,
    location: object = None,
    options: Mapping[str, Any] | None = None,
    cache: Mapping[str, Any] | None = None,
    database: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Let the default session have LOCATION and OPTIONS, and Django's engines this cache or database."""
    entry = {"LOCATION": location} if location is not None else {}
    changed: dict[str, Any] = {"MULTISESSION": {"default": {**entry, "OPTIONS": options or {}}}}
    if cache is not None:
        changed["CACHES"] = {"default": dict(cache)}
    with override_settings(**changed), _database(database):
        try:
            yield
        finally:
            caches.close_all()


@contextmanager
def _database(entry: Mapping[str, Any] | None) -> Iterator[None]:
    if entry is None:
        yield
        return
    # The default alias in place, so that Django's engine needs no router, which would slow it down.
    before = connections.settings["default"]
    connections.settings["default"] = connections.configure_settings({"default": dict(entry)})["default"]
    _forget()
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        _forget()
        connections.settings["default"] = before


def _forget() -> None:
    connections["default"].close()
    del connections["default"]
