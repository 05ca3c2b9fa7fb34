"""Make the server that LOCATION and OPTIONS describe: a single one, a master that sentinels name, or a cluster."""

from typing import Any

import redis
import redis.asyncio.connection
import redis.connection
from django.core.exceptions import ImproperlyConfigured

from ..base import StoreOptions
from ..wording import sentence
from .cluster import Cluster
from .connections import Connections, Direct, Maker, settings_for
from .location import Location, connection_class, located
from .options import RedisOptions
from .own_client import located_by
from .sentinel import Sentinels
from .server import Server, SingleServer
from .topology import Node


def server_at(options: StoreOptions) -> Server:
    """Return the server that LOCATION names, without I/O; ImproperlyConfigured if it or OPTIONS are wrong."""
    given = dict(options.options)
    client = given.pop("client", None)
    location = located(options.location) if client is None else located_by(client, options.location)
    name = location.name
    ours = RedisOptions.checked(given, location.settings, location)
    settings = settings_for(ours.client, options.connect_timeout, options.read_timeout)

    def connections(maker: Maker) -> Connections:
        return Connections(maker, options.connect_timeout, ours.max_idle)

    def direct(node: Node | None = None) -> Maker:
        address = {} if node is None else {"host": node.host, "port": node.port}
        return Direct(
            connection_class(location, redis.connection),
            connection_class(location, redis.asyncio.connection),
            settings | address,
        )

    if location.kind == "cluster":
        maker = direct(Node(*location.nodes[0]))
    else:
        maker = _sentinels(location, ours, settings, options) if location.kind == "sentinel" else direct()
    try:
        # They connect at their first command; here redis-py only checks their arguments.
        maker.connection()
        maker.async_connection()
    except (TypeError, ValueError, redis.RedisError) as error:
        raise ImproperlyConfigured(
            f"MULTISESSION: redis-py refuses OPTIONS or LOCATION of {name}: {sentence(error)}"
        ) from error
    if location.kind == "cluster":
        return Cluster(name, ours.wait, location.nodes, lambda node: connections(direct(node)), ours.address_remap)
    return SingleServer(name, ours.wait, connections(maker), len(location.nodes) if location.kind else 0)


def _sentinels(location: Location, ours: RedisOptions, settings: dict[str, Any], options: StoreOptions) -> Sentinels:
    part = options.connect_timeout / (len(location.nodes) + 1)
    own = {"ssl": location.is_tls, "protocol": 2, **ours.sentinel_kwargs}
    fixed = {"socket_connect_timeout": part, "socket_timeout": part, "retry": settings["retry"]}
    if not own["ssl"]:
        # No CLIENT SETINFO, which is two round trips. Over TLS it stays, even if it is refused: without a command
        # before it, redis-py's pool takes the tickets after TLS 1.3's handshake for an answer that nobody has read.
        fixed["driver_info"] = None
    # By default the sentinels' certificates are checked as the servers' are.
    tls = {key: value for key, value in ours.client.items() if key.startswith("ssl_")} if own["ssl"] else {}
    return Sentinels(location.nodes, location.service, location.is_tls, settings, {**tls, **own, **fixed})
