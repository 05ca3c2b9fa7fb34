"""A Django project for one contest after another, in one process."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import caches as django_caches
from django.core.management import call_command
from django.db import connections
from django.test.utils import override_settings

from benchmarks.payload import AUTH, READ

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
            *filter(_imports, ("user_sessions", "qsessions")),  # to be compared with
        ],
        DATABASES={"default": _NO_DATABASE},
        USE_TZ=True,
    )
    django.setup()


def _imports(app: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pkg_resources, which is to go: what it is imported for cannot be helped
        try:
            importlib.import_module(app)
        except ImportError:
            return False
        return True


@contextmanager
def project(
    *,
    location: object = None,
    caches: Mapping[str, Mapping[str, Any]] | None = None,
    database: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Let the default session have LOCATION, and Django's engines these caches or this database."""
    changed: dict[str, Any] = {"MULTISESSION": {"default": {} if location is None else {"LOCATION": location}}}
    if caches is not None:
        changed["CACHES"] = dict(caches)
    with override_settings(**changed), _database(database):
        try:
            yield
        finally:
            django_caches.close_all()


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
        asyncio.run(sync_to_async(_forget)())  # on the thread where Django's asynchronous methods ran
        connections.settings["default"] = before


def _add_visitor() -> None:
    """Make the user that the sessions are of: some packages keep a foreign key to it."""
    from django.contrib.auth.models import User

    User.objects.create(pk=int(AUTH[READ]), username="visitor")


def _forget() -> None:
    connections["default"].close()
    del connections["default"]
