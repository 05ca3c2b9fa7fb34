"""Fixtures for the tests of single stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from django_multisession.bridge import run_sync
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.redis_cluster import NewestRedisCluster, RedisCluster, ValkeyCluster
from tests.conftest import serve
from tests.stores.helpers import Drive


@pytest.fixture(params=[run_sync, asyncio.run], ids=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Run a coroutine in either colour."""
    driven: Drive = request.param
    return driven


@pytest.fixture
def memcached() -> Iterator[MemcachedServer]:
    """A memcached of the test's own, to be hung and ended."""
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """A cluster of the test's own."""
    with RedisCluster(node_timeout=0.5) as cluster:
        yield cluster


@pytest.fixture(params=[RedisCluster, NewestRedisCluster, ValkeyCluster], ids=lambda kind: kind.name)
def any_cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    """A cluster of the test's own, of each kind."""
    yield from serve(request.param, node_timeout=0.5)
