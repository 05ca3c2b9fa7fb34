"""A Django project for one contest after another, in one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.db import connections
from django.test.utils import override_settings

from benchmarks.payload import AUTH, READ


def set_up() -> None:
    """Configure Django without a server; call once, before anything else."""
    settings.configure(
        SECRET_KEY="not-a-secret-this-is-a-benchmark",
        INSTALLED_APPS=[
            *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django_multisession"),
            *filter(find_spec, ("user_sessions", "qsessions")),  # to be compared with
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}},
        USE_TZ=True,
    )
    django.setup()


@contextmanager
def project(database: Mapping[str, Any] | None = None, **changed: Any) -> Iterator[None]:
    """Run a block with these settings and this default database, which is migrated."""
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
        _add_visitor()
        yield
    finally:
        _forget()
        connections.settings["default"] = before


def _add_visitor() -> None:
    """Make the user that the sessions are of: some packages keep a foreign key to it."""
    from django.contrib.auth.models import User

    User.objects.get_or_create(pk=int(AUTH[READ]), defaults={"username": "visitor"})


def _forget() -> None:
    connections["default"].close()
    del connections["default"]
