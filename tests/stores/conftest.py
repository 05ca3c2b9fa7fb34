"""Fixtures for the tests of single stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from django_multisession.bridge import run_sync
from django_multisession.testing.servers.memcached import MemcachedServer


@pytest.fixture(params=[run_sync, asyncio.run], ids=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine in either colour."""
    driven: Callable[[Coroutine[Any, Any, Any]], Any] = request.param
    return driven


@pytest.fixture
def memcached() -> Iterator[MemcachedServer]:
    """A memcached of the test's own, to be hung and ended."""
    with MemcachedServer() as server:
        yield server
