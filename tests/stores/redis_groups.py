"""Stores on a Redis Cluster and behind sentinels, and keys that all masters share."""

from __future__ import annotations

from typing import Any

from django_multisession.stores.base import StoreOptions
from django_multisession.stores.redis.store import RedisStore
from tests.stores.helpers import PATIENCE

KEYS = [f"{number:040x}" for number in range(60)]


def store_at(location: str, timeout: float = PATIENCE, **options: Any) -> RedisStore:
    return RedisStore(StoreOptions(location=location, timeout=timeout, options=options))
