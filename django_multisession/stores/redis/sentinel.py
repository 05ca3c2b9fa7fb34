"""Redis Sentinel: each new connection asks the sentinels for the master, through redis-py's own Sentinel."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import redis.asyncio.sentinel
import redis.sentinel

from ..resolver import wait_for
from .connections import bounded

_async: Any = redis.asyncio.sentinel  # both are typed only in parts
_sync: Any = redis.sentinel


class Sentinels:
    """Makes connections to the master of ``service``. ``settings`` are for it, ``sentinel_settings`` for the sentinels.

    Each sentinel may take a part of the time to connect, so that one that hangs does not use it up.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        service: str,
        is_tls: bool,
        settings: Mapping[str, Any],
        sentinel_settings: Mapping[str, Any],
    ) -> None:
        self._settings = settings
        self._class = bounded(_sync.SentinelManagedSSLConnection if is_tls else _sync.SentinelManagedConnection)
        self._async_class = _async.SentinelManagedSSLConnection if is_tls else _async.SentinelManagedConnection
        asked = _Asked(nodes, sentinel_settings)
        self._pool = _Masters(service, asked)
        self._async_pool = _AsyncMasters(service, asked)

    def connection(self) -> Any:
        master = _Master(self._pool)
        connection = master.connection = self._class(connection_pool=master, **self._settings)
        return connection

    def async_connection(self) -> Any:
        return self._async_class(connection_pool=self._async_pool, **self._settings)


class _Master:
    """Stands in for the pool of one synchronous connection, and limits the whole search for the master.

    redis-py limits each recv() of each sentinel, and each address of its name.
    """

    connection: Any

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def get_master_address(self) -> tuple[str, int]:
        answer: Future[tuple[str, int]] = Future()
        threading.Thread(target=_find, args=(self._pool, answer), daemon=True).start()
        return wait_for(answer, self.connection.left())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _find(pool: Any, answer: "Future[tuple[str, int]]") -> None:
    try:
        answer.set_result(pool.get_master_address())
    except Exception as error:  # noqa: BLE001 - raised again by wait_for()
        answer.set_exception(error)


class _Asked:
    """The sentinels' addresses, the one that answered last first: the next connection asks it first."""

    def __init__(self, nodes: Sequence[tuple[str, int]], settings: Mapping[str, Any]) -> None:
        self._nodes = list(nodes)
        self._settings = dict(settings)

    def by(self, kind: Any) -> Any:
        """Return a Sentinel of redis.sentinel or redis.asyncio.sentinel, which has no connections yet."""
        return kind.Sentinel(self._nodes, sentinel_kwargs=self._settings)

    def answered(self, sentinel: Any) -> None:
        """Remember the order of a Sentinel, which moves the one that answered to the front."""
        every = [client.get_connection_kwargs() for client in sentinel.sentinels]
        self._nodes = [(each["host"], each["port"]) for each in every]


class _Masters(_sync.SentinelConnectionPool):  # type: ignore[misc]  # a class that is typed in parts
    """Finds the master for the connections of threads; keeps none to a sentinel, since nobody would close it."""

    def __init__(self, service: str, asked: _Asked) -> None:
        self._asked = asked
        super().__init__(service, _sync.Sentinel([]))

    def get_master_address(self) -> tuple[str, int]:
        sentinel = self._asked.by(_sync)
        try:
            address: tuple[str, int] = sentinel.discover_master(self.service_name)
            self._asked.answered(sentinel)
            return address
        finally:
            for client in sentinel.sentinels:
                client.close()


class _AsyncMasters(_async.SentinelConnectionPool):  # type: ignore[misc]  # a class that is typed in parts
    """Finds the master for the connections of any event loop; it keeps nothing that belongs to a loop."""

    def __init__(self, service: str, asked: _Asked) -> None:
        self._asked = asked
        super().__init__(service, _async.Sentinel([]))

    async def get_master_address(self) -> tuple[str, int]:
        sentinel = self._asked.by(_async)
        try:
            address: tuple[str, int] = await sentinel.discover_master(self.service_name)
            self._asked.answered(sentinel)
            return address
        finally:
            # Shielded: a task that is cancelled again meanwhile would otherwise leave connections open.
            closing = [client.aclose() for client in sentinel.sentinels]
            await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))
            await asyncio.sleep(0)  # the turn in which a transport closes its socket after a failed TLS handshake
