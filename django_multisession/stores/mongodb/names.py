"""Look host names up with a time limit before PyMongo does it without one.

PyMongo connects on the thread that runs the command, and the system's resolver takes no limit. So a thread that will
have to connect first has another thread look the name up (see resolver.py). PyMongo does not say when it will connect;
the events of its connection pool tell.
"""

import threading
from typing import Any

from pymongo import MongoClient
from pymongo.monitoring import (
    ConnectionCheckedInEvent,
    ConnectionCheckedOutEvent,
    ConnectionClosedEvent,
    ConnectionPoolListener,
)

from ...runtime import monotonic
from ..resolver import resolve
from .waiting import wait_for_primary


class Names(ConnectionPoolListener):
    """Knows a client's idle connections, and the threads that are about to take one."""

    def __init__(self) -> None:
        self._idle: dict[tuple[Any, int], float] = {}
        self._asking: set[int] = set()

    def wait_for_primary(self, client: MongoClient[Any], seconds: float) -> None:
        """See waiting.wait_for_primary(); if this thread will have to connect, look the name up too (TimeoutError)."""
        wait_for_primary(client, seconds)
        self._asking.add(threading.get_ident())
        for address, server in client.topology_description.server_descriptions().items():
            host, port = address
            if server.is_writable and port is not None and not self._suffices(address, client):
                resolve(host, port, seconds)

    def done(self) -> None:
        """Note that this thread no longer needs a connection."""
        self._asking.discard(threading.get_ident())

    def _suffices(self, address: Any, client: MongoClient[Any]) -> bool:
        longest, now = client.options.pool_options.max_idle_time_seconds, monotonic()
        idle = [since for (place, _), since in self._idle.copy().items() if place == address]
        fresh = sum(longest is None or now - since < longest for since in idle)
        return fresh >= len(self._asking)

    def connection_checked_in(self, event: ConnectionCheckedInEvent) -> None:
        self._idle[event.address, event.connection_id] = monotonic()

    def connection_checked_out(self, event: ConnectionCheckedOutEvent) -> None:
        self._idle.pop((event.address, event.connection_id), None)
        self.done()

    def connection_closed(self, event: ConnectionClosedEvent) -> None:
        self._idle.pop((event.address, event.connection_id), None)

    def _nothing(self, event: Any) -> None:
        """See ConnectionPoolListener."""

    pool_created = pool_ready = pool_cleared = pool_closed = _nothing
    connection_created = connection_ready = connection_check_out_started = connection_check_out_failed = _nothing
