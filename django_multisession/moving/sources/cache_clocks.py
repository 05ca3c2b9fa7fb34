"""How long an item of one of Django's caches has left, which no method of Django tells.

Otherwise a session would start a whole new life when it moves. The private names of Django that this needs are listed
in tests/unit/test_borrowed_names.py.
"""

import pickle
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.apps.registry import Apps
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.memcached import PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.db import models, router
from django.utils import timezone

Clock = Callable[[Any, str, str], int | None]
"""Takes a cache, a key as its server knows it, and the key as it was given; returns seconds, or None if unknown."""


def _redis(cache: Any, address: str, key: str) -> int | None:
    left: int = cache._cache.get_client(address, write=True).ttl(address)
    return None if left == -1 else max(left, 0)


def _memcached(cache: Any, address: str, key: str) -> int | None:
    ring = cache._cache
    try:
        answer: bytes = ring.clients[ring.hasher.get_node(address)].raw_command(f"mg {address} t")
    except Exception as error:
        if type(error).__name__ == "MemcacheUnknownCommandError":
            return None  # memcached before 1.6 has no meta commands
        raise
    left = int(answer.partition(b" t")[2] or 0)
    return None if left == -1 else left


def _file(cache: Any, address: str, key: str) -> int | None:
    try:
        with Path(cache._key_to_file(key)).open("rb") as file:
            ends_at: float | None = pickle.load(file)  # noqa: S301 - ALLOW_PICKLE lets the rest of the file be loaded, too
    except FileNotFoundError:
        return 0
    return None if ends_at is None else int(ends_at - time.time())


def _table(cache: Any, address: str, key: str) -> int | None:
    alias = router.db_for_read(cache.cache_model_class)
    ends_at: datetime | None = (
        _entry(cache.cache_model_class._meta.db_table)
        .objects.using(alias)
        .filter(pk=address)
        .values_list("expires", flat=True)
        .first()
    )
    return 0 if ends_at is None else int((ends_at - timezone.now()).total_seconds())


def _entry(table: str) -> Any:
    """Return a model of a cache's table that is in no registry of apps."""

    class Meta:
        apps = Apps()
        app_label = "django_cache"
        db_table = table
        managed = False

    columns = {
        "__module__": __name__,
        "Meta": Meta,
        "cache_key": models.CharField(max_length=255, primary_key=True),
        "expires": models.DateTimeField(),
    }
    return type("Entry", (models.Model,), columns)


CLOCKS: Final[Mapping[type[Any], Clock]] = {
    RedisCache: _redis,
    PyMemcacheCache: _memcached,
    FileBasedCache: _file,
    BaseDatabaseCache: _table,
}
