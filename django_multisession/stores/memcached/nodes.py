"""The nodes of the memcached engine: LOCATION and OPTIONS checked, what a node says of itself."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from ...deadline import Breaker, breaker_for
from ..pools import FreeList
from .connection import Connection

DEFAULT = "127.0.0.1:11211"
ALLOWED = "'host:port', 'unix:/path/to/socket', or a list of these"

# pymemcache's options that would break a promise of the store, and why.
_REFUSED = {
    "allow_unicode_keys": "a key is ASCII, and KEY_PREFIX is sent as UTF-8",
    "connect_timeout": "TIMEOUT sets it",
    "default_noreply": "the answer tells whether a write happened",
    "deserializer": "a payload is bytes",
    "ignore_exc": "an outage would look like a logout",
    "key_prefix": "KEY_PREFIX sets it",
    "serde": "a payload is bytes",
    "serializer": "a payload is bytes",
    "server": "LOCATION sets it",
    "timeout": "TIMEOUT sets it",
}


class Node(NamedTuple):
    """A server: its name is the same in every process, for it decides which keys are its own."""

    name: str
    connections: FreeList[Connection]
    breaker: Breaker


def nodes_of(location: object, options: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return a LOCATION's nodes, unconnected; ImproperlyConfigured if it or OPTIONS are wrong."""
    for refused in sorted(options.keys() & _REFUSED):
        raise ImproperlyConfigured(
            f"MULTISESSION: OPTIONS set {refused!r}, which is not allowed for memcached: {_REFUSED[refused]}."
        )
    if location is None:
        location = DEFAULT
    if isinstance(location, str):
        location = (location,)
    elif not isinstance(location, Iterable):
        raise _no_location(type(location).__name__)
    names = [_name(each) for each in location]
    if not names or len(set(names)) < len(names):
        raise _no_location(names)
    return tuple(_node(name, options) for name in names)


def _name(location: object) -> str:
    if not isinstance(location, str):
        raise _no_location(type(location).__name__)
    if location.startswith("unix:/"):
        return location
    host, separator, port = location.rpartition(":")
    if location.endswith("]") or not separator:
        host, port = location, "11211"
    literal = host.startswith("[") and host.endswith("]")
    if (
        not host
        or (":" in host and not literal)
        or any(character in "/@?#" or character.isspace() for character in host)
        or not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16)
    ):
        # Somebody may have pasted a URL with a password.
        raise _no_location(location.rpartition("@")[2])
    return f"{host}:{int(port)}"


def _no_location(shown: object) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"MULTISESSION: LOCATION {shown!r} is not a memcached server: {ALLOWED}, each once.")


def _node(name: str, options: Mapping[str, Any]) -> Node:
    # One packet an exchange: nothing to gather, so Nagle's algorithm could only delay it.
    settings = {"no_delay": True, "default_noreply": False, **options}

    def connect() -> Connection:  # at its first command
        return Connection(name, **settings)

    try:
        connect()
    except (TypeError, ValueError, OSError) as error:
        raise ImproperlyConfigured(f"MULTISESSION: pymemcache refuses OPTIONS for {name}: {error}.") from error
    return Node(name, FreeList(connect, lambda connection: connection.close()), breaker_for(name))


def problems(stats: Mapping[bytes, Any], settings: Mapping[bytes, Any], item_size: int) -> Iterator[str]:
    """Yield what endangers sessions in a node's answers to ``stats`` and ``stats settings``."""
    if stats.get(b"evictions"):
        yield (
            f"it has evicted {stats[b'evictions']} items since it started: if sessions were among "
            "them, their users were logged out. Give it more memory (-m), or sessions a server of "
            "their own."
        )
    if settings.get(b"evictions") == b"off":
        yield "it was started with -M: once full, it lets nobody log in. Give it more memory (-m)."
    if settings.get(b"cas_enabled") in {b"no", False}:
        yield "it was started with -C: no session can be changed. Start it without."
    if settings.get(b"item_size_max", item_size) < item_size:
        yield (
            f"its largest item (-I) is {settings[b'item_size_max']} bytes. Set "
            "OPTIONS['max_item_size'] to that, or raise it."
        )
