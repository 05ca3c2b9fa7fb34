"""LOCATION, OPTIONS and KEY_PREFIX of the memcached engine: what is allowed, and what it means."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..pools import MAX_IDLE
from ..wording import wrong_location

DEFAULT = "127.0.0.1:11211"
ALLOWED = "'host:port', 'unix:/path/to/socket', or a list of these, each once"

ITEM_SIZE: Final = 1024 * 1024
"""The largest item in bytes of a memcached that was started without -I."""
SMALLEST_ITEM_SIZE: Final = 1024
_HEAD_LENGTH = 250 - 40  # bytes of the longest key, without the storage key

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
    "socket_module": "the engine's own bounds each answer as a whole",
    "timeout": "TIMEOUT sets it",
}


def names_of(location: object) -> tuple[str, ...]:
    """Return the names of a LOCATION's nodes, in its order; ImproperlyConfigured if it is wrong."""
    if location is None:
        location = DEFAULT
    if isinstance(location, str):
        location = (location,)
    elif not isinstance(location, Iterable):
        raise wrong_location(location, ALLOWED)
    names = tuple(_name(each) for each in location)
    if not names or len(set(names)) < len(names):
        raise wrong_location(", ".join(names), ALLOWED)
    return names


@dataclass(frozen=True, slots=True)
class Settings:
    """OPTIONS, validated: ``item_size`` in bytes, ``max_idle`` in seconds.

    ``client`` is the factory that OPTIONS name, None for pymemcache's own class; ``arguments`` are for either.
    """

    item_size: int
    max_idle: float
    client: Callable[..., Any] | None
    arguments: Mapping[str, Any]


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return OPTIONS, validated; ImproperlyConfigured if they are wrong, or would break a promise of the store."""
    if refused := min(options.keys() & _REFUSED, default=None):
        raise ImproperlyConfigured(
            f"MULTISESSION: OPTIONS set {refused!r}, which is not allowed for memcached: {_REFUSED[refused]}."
        )
    arguments = dict(options)
    size, idle = arguments.pop("max_item_size", ITEM_SIZE), arguments.pop("max_idle", MAX_IDLE)
    if not isinstance(size, int) or size < SMALLEST_ITEM_SIZE:
        raise ImproperlyConfigured(
            f"MULTISESSION: OPTIONS['max_item_size'] is {size!r}; it must be the bytes that memcached's -I allows."
        )
    if not isinstance(idle, int | float) or not idle > 0:
        raise ImproperlyConfigured(f"MULTISESSION: OPTIONS['max_idle'] is {idle!r}; it must be seconds above 0.")
    return Settings(size, idle, _client(arguments.pop("client", None)), arguments)


def _client(path: Any) -> Callable[..., Any] | None:
    try:
        factory: Callable[..., Any] | None = None if path is None else import_string(path)
    except (ImportError, AttributeError) as error:
        raise ImproperlyConfigured(f"MULTISESSION: OPTIONS['client'] {path!r} cannot be imported: {error}.") from error
    if factory is not None and not callable(factory):
        raise ImproperlyConfigured(f"MULTISESSION: OPTIONS['client'] {path!r} is no function or class.")
    return factory


def head_of(prefix: str) -> bytes:
    """Return the beginning of all keys under a KEY_PREFIX; ImproperlyConfigured if that does not fit."""
    head = f"{prefix}:dms:".encode() if prefix else b"dms:"
    if len(head) > _HEAD_LENGTH or any(byte <= 32 or byte == 127 for byte in head):
        raise ImproperlyConfigured(
            f"MULTISESSION: KEY_PREFIX {prefix!r} does not fit into memcached's keys: "
            f"at most {_HEAD_LENGTH - 5} bytes without spaces and control characters."
        )
    return head


def _name(location: object) -> str:
    if not isinstance(location, str):
        raise wrong_location(location, ALLOWED)
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
        raise wrong_location(location, ALLOWED)
    return f"{host}:{int(port)}"
