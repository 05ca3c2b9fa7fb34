"""Places where a site has kept its sessions before: the engines of Django and of other packages, on real servers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from django_multisession.conf import Entry, Fallback

DJANGOS = "django.contrib.sessions.backends"
CACHES = {
    "redis": "django.core.cache.backends.redis.RedisCache",
    "memcached": "django.core.cache.backends.memcached.PyMemcacheCache",
    "database": "django.core.cache.backends.db.DatabaseCache",
    "files": "django.core.cache.backends.filebased.FileBasedCache",
    "django_redis": "django_redis.cache.RedisCache",
}
"""Backends of CACHES."""
SERVERS = {"redis": "redis_server", "memcached": "memcached_server", "django_redis": "redis_server"}
"""The fixtures of those that have a server."""


@dataclass(frozen=True)
class Place:
    """An engine that is being left, and what it needs."""

    name: str
    engine: str
    cache: str | None = None
    app: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def server(self) -> str | None:
        """The fixture of its server, None where it has none."""
        return SERVERS.get(self.cache or "")

    @property
    def pickles(self) -> bool:
        return self.engine == f"{DJANGOS}.cache"

    def fallback(self, **changes: Any) -> Fallback:
        entry = Entry("default", **{"engine": self.engine, "timeout": 20.0, **changes.pop("entry", {})})
        return Fallback(entry, datetime(2030, 1, 1, tzinfo=UTC), **{"allow_pickle": self.pickles, **changes})

    def store(self, key: str | None = None) -> Any:
        """Return a session of the engine's own."""
        return import_module(self.engine).SessionStore(key)


PLACES = [
    Place("db", f"{DJANGOS}.db"),
    *(Place(f"cache-{name}", f"{DJANGOS}.cache", name) for name in CACHES),
    *(Place(f"cached_db-{name}", f"{DJANGOS}.cached_db", name) for name in ("redis", "memcached")),
    Place("file", f"{DJANGOS}.file"),
    Place("signed_cookies", f"{DJANGOS}.signed_cookies"),
    Place("user_sessions", "user_sessions.backends.db", app="user_sessions"),
    Place("qsessions", "qsessions.backends.db", app="qsessions"),
    Place("qsessions-cached_db", "qsessions.backends.cached_db", "redis", app="qsessions"),
]


@contextmanager
def configured(place: Place, location: Any, directory: Path, **options: Any) -> Iterator[Place]:
    """Set what the engine needs, and make its table; ``location`` is its server's. ``options`` are of its cache."""
    changes: dict[str, Any] = {"SESSION_ENGINE": place.engine, "SESSION_FILE_PATH": str(directory), **place.settings}
    if place.cache is not None:
        cache: dict[str, Any] = {"BACKEND": CACHES[place.cache], "KEY_PREFIX": secrets.token_hex(4), "OPTIONS": options}
        cache["LOCATION"] = {"database": "cached_sessions", "files": str(directory)}.get(place.cache, location)
        changes["CACHES"] = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}, "sessions": cache}
        changes["SESSION_CACHE_ALIAS"] = "sessions"
    if place.app is not None:
        from django.conf import settings

        changes["INSTALLED_APPS"] = [*settings.INSTALLED_APPS, place.app]
    with override_settings(**changes), ExitStack() as stack:
        if place.name == "file":
            store: Any = import_module(place.engine).SessionStore
            if "_storage_path" in vars(store):  # it remembers the first one
                del store._storage_path
        if place.cache == "database":
            call_command("createcachetable", verbosity=0)
            stack.callback(_drop, "cached_sessions")
        if place.app is not None:
            # Whose admin has registered its models, which later tests know nothing of.
            stack.callback(unregister, list(apps.get_app_config(place.app).get_models()))
            call_command("migrate", place.app, verbosity=0)
            # What pytest-django flushes are the tables of the apps that are always installed.
            stack.callback(lambda: apps.get_model(str(place.app), "Session")._base_manager.all()._raw_delete("default"))
        yield place
        if place.cache is not None:
            caches["sessions"].close()  # a test may have cut its connection
            caches["sessions"].clear()
            caches["sessions"].close()


def unregister(models: list[Any]) -> None:
    """Take the models of an app that is about to go out of the admin."""
    for model in models:
        if admin.site.is_registered(model):
            admin.site.unregister(model)


def _drop(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}")
