"""LOCATION of the redis engine: what is allowed, what redis-py makes of it, how it may be shown."""

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

DEFAULT = "redis://127.0.0.1:6379/0"
ALLOWED = "redis://host:port/database, rediss://host:port/database (TLS) or unix:///path/to/socket?db=database"


def checked(location: object) -> str:
    """Return LOCATION, or DEFAULT for None; ImproperlyConfigured if it is none of ALLOWED."""
    if location is None:
        return DEFAULT
    if not isinstance(location, str):
        raise _refused(type(location).__name__)
    try:
        url = urlsplit(location)
        host, port = url.hostname, url.port  # reading the port checks it
    except ValueError:
        raise _refused(without_password(location)) from None
    path = url.path.removeprefix("/")
    if url.scheme == "unix":
        fits = bool(path) and port is None
    else:
        # redis-py takes a database that is not a number for 0, in silence.
        fits = url.scheme in {"redis", "rediss"} and bool(host) and (not path or path.isdecimal())
    if not fits or url.fragment:
        raise _refused(without_password(location))
    return location


def _refused(shown: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"MULTISESSION: LOCATION {shown!r} is not a Redis URL: {ALLOWED}.")


def without_password(location: str) -> str:
    """Return a location, well-formed or not, without user and query: both may hold a password."""
    scheme, separator, rest = location.rpartition("://")
    shown = re.split("[?#]", rest.rpartition("@")[2])[0]
    return f"{scheme.partition('://')[0]}{separator}{shown}"


def parsed(location: str, module: ModuleType) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the connection class and its arguments for a URL.

    ``module`` is redis.connection or redis.asyncio.connection; the arguments are the same for both.
    """
    try:
        settings: dict[str, Any] = module.parse_url(location)
    except ValueError as error:
        raise ImproperlyConfigured(f"MULTISESSION: LOCATION {without_password(location)!r}: {error}") from None
    return settings.pop("connection_class", module.Connection), settings


def named(location: str, settings: dict[str, Any]) -> str:
    """Return the location as it may be logged: scheme, address and database."""
    database = settings.get("db", 0)
    if "path" in settings:
        return f"unix://{settings['path']}?db={database}"
    host = settings["host"]
    host = f"[{host}]" if ":" in host else host
    return f"{location.partition(':')[0]}://{host}:{settings.get('port', 6379)}/{database}"


def literal(text: str) -> str:
    """Return text so that SCAN's glob pattern takes it literally."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
