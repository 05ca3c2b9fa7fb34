"""What the tests of single stores share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from django_multisession.codec import Header
from django_multisession.deadline import Operation
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import Store

KEY, OTHER = "ab" * 20, "cd" * 20
PATIENCE = 20.0  # seconds, where a busy machine must not matter
V1, V2, V3 = b"version1", b"version2", b"version3"

Drive = Callable[[Coroutine[Any, Any, Any]], Any]


def payload(version: bytes, body: bytes = b"body", size: int = 0) -> bytes:
    """Return a payload of that version, of at least so many bytes."""
    return (Header.new(version, 1, 2, 3, 4).pack(b"kid.") + body).ljust(size, b".")


async def read_where_the_connection_was_lost(store: Store) -> None:
    """Read twice in one operation: the first finds out, and the second is answered on a new connection."""
    with Operation():
        with pytest.raises(StoreUnavailable) as lost:
            await store.read(KEY)
        assert lost.value.retryable
        assert await store.read(KEY) is None
