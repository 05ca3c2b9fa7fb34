"""Stores on a Redis Cluster and behind sentinels, and keys that all masters share."""

from __future__ import annotations

from typing import Any

from django_multisession.stores.base import StoreOptions
from django_multisession.stores.redis.store import RedisStore
from django_multisession.testing.servers.redis_cluster import RedisNode
from tests.stores.helpers import PATIENCE

KEYS = [f"{number:040x}" for number in range(60)]


def store_at(location: str, timeout: float = PATIENCE, **options: Any) -> RedisStore:
    return RedisStore(StoreOptions(location=location, timeout=timeout, options=options))


def open_slot(slot: int, source: RedisNode, target: RedisNode) -> None:
    """Begin to move a slot; its keys stay where they are until they are moved, too."""
    assert target.cluster(f"SETSLOT {slot} IMPORTING {source.cluster('MYID')}") == "OK"
    assert source.cluster(f"SETSLOT {slot} MIGRATING {target.cluster('MYID')}") == "OK"
