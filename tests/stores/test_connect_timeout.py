"""CONNECT_TIMEOUT bounds connecting, login included, by itself: with a long TIMEOUT a hung server costs no more."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import Store, StoreOptions
from django_multisession.stores.memcached import MemcachedStore
from django_multisession.stores.postgresql import PostgreSQLStore
from django_multisession.stores.redis import RedisStore
from tests.databases import database
from tests.stores.helpers import KEY, PATIENCE, Drive

options_at = partial(StoreOptions, timeout=6 * PATIENCE, connect_limit=0.2)
"""An answer may take three times as long as the test waits, and connecting a fraction of it."""


@contextmanager
def silent(*, takes_connections: bool) -> Iterator[int]:
    """A port where nobody answers; or where no connection comes about, since as many wait as may."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128 if takes_connections else 0))
        if not takes_connections:
            stack.enter_context(socket.create_connection(listener.getsockname()))
        yield listener.getsockname()[1]


@contextmanager
def redis_that_takes_no_login() -> Iterator[Store]:
    with silent(takes_connections=True) as port:
        yield RedisStore(options_at(location=f"redis://:obviously-fake@127.0.0.1:{port}/0"))


@contextmanager
def memcached_that_takes_no_connection() -> Iterator[Store]:
    with silent(takes_connections=False) as port:
        yield MemcachedStore(options_at(location=(f"127.0.0.1:{port}",)))


@contextmanager
def postgresql_that_takes_no_login() -> Iterator[Store]:
    with silent(takes_connections=True) as port:
        entry = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": str(port), "NAME": "x"}
        with database(entry, migrate=False) as alias:
            yield PostgreSQLStore(options_at(location=alias, options={"connection": "own"}))


@pytest.mark.parametrize(
    "made", [redis_that_takes_no_login, memcached_that_takes_no_connection, postgresql_that_takes_no_login]
)
def test_connecting_ends_by_its_own_limit(
    drive: Drive, django_db_blocker: DjangoDbBlocker, made: Callable[[], Any]
) -> None:
    with django_db_blocker.unblock(), made() as store:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            drive(store.read(KEY))
        assert time.monotonic() - began < PATIENCE
        store.close()
