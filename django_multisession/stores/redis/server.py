"""The one server that redis://, rediss:// and unix:// name."""

from collections.abc import Sequence
from typing import Any, Self

import redis
import redis.asyncio.connection
import redis.connection
from django.core.exceptions import ImproperlyConfigured

from ..base import StoreOptions
from .batches import Command
from .connections import Connections
from .location import checked, named, parsed
from .options import RedisOptions


class Server:
    """A server; ``wait`` is OPTIONS["wait"]."""

    def __init__(self, name: str, wait: int, connections: Connections) -> None:
        self.name = name
        self.wait = wait
        self._connections = connections
        self.ask = connections.ask
        self.close = connections.close

    @classmethod
    def at(cls, options: StoreOptions) -> Self:
        """Return the server that LOCATION names; ImproperlyConfigured where it, or OPTIONS, cannot be."""
        location = checked(options.location)
        connection_class, url_settings = parsed(location, redis.connection)
        async_connection_class, _ = parsed(location, redis.asyncio.connection)
        name = named(location, url_settings)
        ours = RedisOptions.checked(options.options, url_settings, name)
        connections = Connections(
            connection_class, async_connection_class, ours.client, options.connect_timeout, ours.max_idle
        )
        try:
            connections.check()
        except (TypeError, ValueError, redis.RedisError) as error:
            raise ImproperlyConfigured(
                f"MULTISESSION: redis-py refuses OPTIONS or LOCATION of {name}: {error}."
            ) from error
        return cls(name, ours.wait, connections)

    def of(self, key: str) -> object:
        """Return what stands for the server that has a key."""
        return None

    def pages(self, keys: Sequence[str], size: int) -> list[Sequence[str]]:
        """Return keys in parts, each for one round trip."""
        return [keys[start : start + size] for start in range(0, len(keys), size)]

    async def probe(self, node: Any, command: Command) -> None:
        """Ask on a new connection; see Connections.probe()."""
        await self._connections.probe(command)
