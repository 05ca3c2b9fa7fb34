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
        sentinel = _sync.Sentinel(list(nodes), sentinel_kwargs=dict(sentinel_settings))
        self._pool = _sync.SentinelConnectionPool(service, sentinel)
        self._async_pool = _Masters(service, nodes, dict(sentinel_settings))

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


class _Masters(_async.SentinelConnectionPool):  # type: ignore[misc]  # a class that is typed in parts
    """Finds the master for the connections of any event loop: it keeps nothing that belongs to one."""

    def __init__(self, service: str, nodes: Sequence[tuple[str, int]], sentinel_kwargs: dict[str, Any]) -> None:
        self._nodes = list(nodes)
        self._sentinel_kwargs = sentinel_kwargs
        super().__init__(service, _async.Sentinel([]))

    async def get_master_address(self) -> tuple[str, int]:
        sentinel = _async.Sentinel(self._nodes, sentinel_kwargs=self._sentinel_kwargs)
        try:
            address: tuple[str, int] = await sentinel.discover_master(self.service_name)
            # redis-py has moved the sentinel that answered to the front; the next connection asks it first.
            kwargs = [client.get_connection_kwargs() for client in sentinel.sentinels]
            self._nodes = [(each["host"], each["port"]) for each in kwargs]
            return address
        finally:
            # Shielded: a task that is cancelled again meanwhile would otherwise leave connections open.
            closing = [client.aclose() for client in sentinel.sentinels]
            await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))
            await asyncio.sleep(0)  # the turn in which a transport closes its socket after a failed TLS handshake
