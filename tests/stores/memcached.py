"""What the tests of the memcached store share."""

from __future__ import annotations

from typing import Any

from django_multisession.stores.base import StoreOptions
from django_multisession.stores.memcached.store import MemcachedStore
from tests.stores.helpers import V1, payload


def store_at(*locations: str, **options: Any) -> MemcachedStore:
    return MemcachedStore(StoreOptions(location=locations, **options))


async def put(store: MemcachedStore, key: str, version: bytes = V1, size: int = 0, ttl: int = 60) -> bytes:
    """Insert a record; return its token."""
    token = await store.insert(key, payload(version, size=size), ttl, version)
    assert token is not None
    return token
