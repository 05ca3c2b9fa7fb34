"""New processes, which share no connection, thread or setting with the one that runs the tests."""

from __future__ import annotations

import importlib
import multiprocessing
from multiprocessing.context import ForkServerContext
from typing import Any

import django

_PRELOADED = [
    *("psycopg", "pymemcache", "pymongo", "pytest", "redis", "django_redis", "tests.databases"),
    *(f"django.{name}" for name in ("contrib.auth", "core.wsgi", "db.models", "forms", "test", "urls")),
    "django_multisession.middleware",
    *(f"django_multisession.engines.{name}" for name in ("db", "memcached", "mongodb", "postgresql", "redis")),
]
"""What needs no settings: each process sets up Django by its own."""


def fresh_processes() -> ForkServerContext:
    """Return the context that makes processes: forks of one that has imported this and done nothing else.

    To import it anew costs a process most of a second, and many tests start eight. There is one such server for all
    tests of a run, whichever asks first.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def call_with_django(module: str, function: str, *arguments: Any) -> None:
    """Call a module's function in a new process, where Django is to be set up before the import."""
    django.setup()
    getattr(importlib.import_module(module), function)(*arguments)
