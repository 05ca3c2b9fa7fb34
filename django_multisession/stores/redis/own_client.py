"""OPTIONS["client"]: a project's own client, from which the store takes the server's address and the login.

The store makes connections of its own with these, for both colours and with its own limits; the client is not used.
"""

from typing import Any, Final

import redis
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .location import Location

_TAKEN: Final = frozenset({"client_name", "credential_provider", "db", "host", "password", "path", "port", "username"})
"""The arguments that are taken from the client, apart from those of TLS; TIMEOUT and the store set all others."""
_KINDS: Final[dict[type[Any], str]] = {
    redis.Connection: "host",
    redis.SSLConnection: "tls",
    redis.UnixDomainSocketConnection: "socket",
}


def located_by(path: Any, location: object) -> Location:
    """Return the location of the client that a factory makes; ImproperlyConfigured if the store cannot use it.

    ``location`` is LOCATION, which must be None: the client says where the server is.
    """
    if location is not None:
        raise _wrong(path, "LOCATION says where the server is, and so does the client. Leave one of them out")
    client = _made(path)
    kind = _KINDS.get(client.connection_pool.connection_class)
    if kind is None:
        name = client.connection_pool.connection_class.__qualname__
        raise _wrong(path, f"its connections are of the class {name}, and not one of redis-py's own for one server")
    given = client.get_connection_kwargs()
    if given.get("redis_connect_func") is not None:
        raise _wrong(path, "it has a redis_connect_func, which serves one colour alone. Use a credential_provider")
    # What is None is left out: some arguments exist in one colour only.
    settings = {
        name: value
        for name, value in given.items()
        if value is not None and (name in _TAKEN or (name.startswith("ssl_") and value is not False))
    }
    if given.get("ssl_check_hostname") is False:
        settings["ssl_check_hostname"] = False
    nodes = () if kind == "socket" else ((str(settings["host"]), int(settings["port"])),)
    return Location("", kind == "tls", nodes, "", settings, is_socket=kind == "socket")


def _made(path: Any) -> redis.Redis:
    try:
        client: Any = import_string(path)()
    except (ImportError, AttributeError, TypeError) as error:
        raise _wrong(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(client, redis.Redis):
        raise _wrong(path, f"it returned a {type(client).__qualname__}")
    return client


def _wrong(path: Any, reason: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"MULTISESSION: OPTIONS['client'] is {path!r}; it must be the dotted path of a function without arguments that "
        f"returns a redis.Redis, of one server: {reason}. A cluster and sentinels are named in LOCATION."
    )
