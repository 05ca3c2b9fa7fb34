"""OPTIONS of the redis engine: five of ours (see own_client.py for ``client``), all others redis-py's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from django.core.exceptions import ImproperlyConfigured

from ..pools import MAX_IDLE
from .location import Location

# Options of redis-py that would break a promise of the store, and why. The query of a URL can hold them too.
_REFUSED: Final = {
    "connection_class": "LOCATION sets it",
    "connection_pool": "the store keeps connections of its own",
    "decode_responses": "a payload is bytes",
    "max_connections": "an event loop has eight at most, and threads no more than calls at the same time",
    "protocol": "the store speaks RESP2",
    "retry": "a repeated swap would report a conflict with itself",
    "retry_on_error": "a repeated swap would report a conflict with itself",
    "retry_on_timeout": "a repeated swap would report a conflict with itself",
    "socket_connect_timeout": "TIMEOUT sets it",
    "socket_timeout": "TIMEOUT sets it",
}


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """The store's own options, and in ``client`` redis-py's for the servers.

    ``max_idle``: seconds after which an idle connection is not used again. ``wait``: how many replicas must confirm the
    start or the end of a session. ``sentinel_kwargs``: redis-py's arguments for the sentinels. ``address_remap``: for a
    cluster that is reached under other addresses than its nodes know, a function from one to the other.
    """

    max_idle: float
    wait: int
    client: Mapping[str, Any]
    sentinel_kwargs: Mapping[str, Any]
    address_remap: Callable[[tuple[str, int]], tuple[str, int]] | None

    @classmethod
    def checked(cls, options: Mapping[str, Any], url: Mapping[str, Any], location: Location) -> Self:
        """Return OPTIONS together with those of a URL, which win; ImproperlyConfigured if one is not allowed."""
        name = location.name
        client = {**options, **url}
        if refused := min(client.keys() & _REFUSED, default=None):
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS or LOCATION of {name} set {refused!r}, which is not allowed: "
                f"{_REFUSED[refused]}."
            )
        max_idle = client.pop("max_idle", MAX_IDLE)
        if not isinstance(max_idle, (int, float)) or not max_idle > 0:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['max_idle'] of {name} must be seconds above 0, not {max_idle!r}."
            )
        wait = client.pop("wait", 0)
        if type(wait) is not int or wait < 0:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['wait'] of {name} must be a number of replicas, 0 or more, not {wait!r}."
            )
        sentinel_kwargs = client.pop("sentinel_kwargs", {}) if location.kind == "sentinel" else {}
        if not isinstance(sentinel_kwargs, Mapping):
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['sentinel_kwargs'] of {name} must be a dictionary, "
                f"not a {type(sentinel_kwargs).__name__}."
            )
        address_remap = client.pop("address_remap", None) if location.kind == "cluster" else None
        if address_remap is not None and not callable(address_remap):
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['address_remap'] of {name} must be a function of (host, port), "
                f"not {address_remap!r}."
            )
        return cls(float(max_idle), wait, client, sentinel_kwargs, address_remap)
