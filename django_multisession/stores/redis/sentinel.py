"""Redis Sentinel: each new connection asks the sentinels for the master, through redis-py's own Sentinel."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import redis.asyncio.sentinel
import redis.sentinel

from .connections import bounded

_async: Any = redis.asyncio.sentinel  # it is typed in parts
_sync: Any = redis.sentinel


class Sentinels:
    """Makes connections to the master of ``service``. ``settings`` are for it, ``sentinel_settings`` for the sentinels.

    A sentinel has its part of the time to connect: one that hangs must not use it up.
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
        return self._class(connection_pool=self._pool, **self._settings)

    def async_connection(self) -> Any:
        return self._async_class(connection_pool=self._async_pool, **self._settings)


class _Masters(_async.SentinelConnectionPool):  # type: ignore[misc]
    """Finds the master for the connections of any event loop: nothing of a loop is kept."""

    def __init__(self, service: str, nodes: Sequence[tuple[str, int]], sentinel_kwargs: dict[str, Any]) -> None:
        self._nodes = list(nodes)
        self._sentinel_kwargs = sentinel_kwargs
        super().__init__(service, _async.Sentinel([]))

    async def get_master_address(self) -> tuple[str, int]:
        sentinel = _async.Sentinel(self._nodes, sentinel_kwargs=self._sentinel_kwargs)
        try:
            address: tuple[str, int] = await sentinel.discover_master(self.service_name)
            # Sentinel puts the one that has answered first, which is where the next connection begins.
            kwargs = [client.get_connection_kwargs() for client in sentinel.sentinels]
            self._nodes = [(each["host"], each["port"]) for each in kwargs]
            return address
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
            await asyncio.sleep(0)  # in which a transport closes its socket whose TLS was not to be trusted
