"""What the tests of the memcached store share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from django_multisession.envelope import Header
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.memcached.store import MemcachedStore

KEY, OTHER = "ab" * 20, "cd" * 20
V1, V2, V3 = b"version1", b"version2", b"version3"

Drive = Callable[[Coroutine[Any, Any, Any]], Any]


def payload(version: bytes, size: int = 100) -> bytes:
    return Header.new(version, 1, 2, 3, 4).pack(b"kid.").ljust(size, b".")


def store_at(*locations: str, **options: Any) -> MemcachedStore:
    return MemcachedStore(StoreOptions(location=locations, **options))


async def put(store: MemcachedStore, key: str, version: bytes = V1, size: int = 100, ttl: int = 60) -> bytes:
    """Insert a record; return its token."""
    token = await store.insert(key, payload(version, size), ttl, version)
    assert token is not None
    return token
