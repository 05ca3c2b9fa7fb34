"""LOCATION of the redis engine: what is allowed, redis-py's arguments for it, and how it may be shown."""

import re
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis.connection
from django.core.exceptions import ImproperlyConfigured

from ..wording import without_password, wrong_location

DEFAULT: Final = "redis://127.0.0.1:6379/0"
ALLOWED: Final = (
    "redis://host:port/database, unix:///path/to/socket?db=database, redis+cluster://host:port,host:port/ or "
    "redis+sentinel://host:port,host:port/service; rediss instead of redis is TLS"
)
_SENTINEL_PORT: Final = 26379
_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed LOCATION. ``nodes`` are the addresses that it names, and ``settings`` redis-py's arguments."""

    kind: str
    """"cluster", "sentinel", or empty for one server."""
    is_tls: bool
    nodes: tuple[tuple[str, int], ...]
    service: str
    settings: dict[str, Any] = field(repr=False)
    is_socket: bool = False

    @property
    def name(self) -> str:
        """The location as it may be logged: scheme, addresses and database."""
        if self.is_socket:
            return f"unix://{self.settings['path']}?db={self.settings.get('db', 0)}"
        hosts = ",".join(address(*node) for node in self.nodes)
        if self.kind == "cluster":
            return f"{self.scheme}://{hosts}/"
        database = self.settings.get("db", 0)
        if self.kind == "sentinel":
            return f"{self.scheme}://{hosts}/{self.service}/{database}"
        return f"{self.scheme}://{hosts}/{database}"

    @property
    def scheme(self) -> str:
        return ("rediss" if self.is_tls else "redis") + (f"+{self.kind}" if self.kind else "")


def address(host: str, port: int) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def located(location: object) -> Location:
    """Parse a LOCATION, DEFAULT for None; ImproperlyConfigured if it is none of ALLOWED."""
    if location is None:
        location = DEFAULT
    if not isinstance(location, str):
        raise wrong_location(location, ALLOWED)
    try:
        found = _parsed(location)
    except ValueError:
        found = None
    if found is None:
        raise wrong_location(location, ALLOWED)
    return found


def _parsed(location: str) -> Location | None:
    url = urlsplit(location)
    if url.fragment:
        return None
    if url.scheme == "unix":
        if not url.path.strip("/"):
            return None
        return Location("", False, (), "", _settings(location, location), is_socket=True)
    scheme, _, kind = url.scheme.partition("+")
    if scheme not in {"redis", "rediss"} or kind not in {"", "cluster", "sentinel"}:
        return None
    user, at, hosts = url.netloc.rpartition("@")
    each = hosts.split(",") if kind else [hosts]
    port = _SENTINEL_PORT if kind == "sentinel" else _PORT
    nodes = tuple((part.hostname or "", part.port or port) for part in (urlsplit(f"//{host}") for host in each))
    service, database = "", url.path.strip("/")
    if kind == "sentinel":
        service, _, database = database.partition("/")
    # redis-py silently takes a database that is not a number for 0. A cluster has that one only.
    fits = (
        all(host and "," not in host for host, _ in nodes)
        and (not database or database.isdecimal())
        and (kind == "sentinel") == bool(service)
    )
    if not fits or (kind == "cluster" and int(database or 0)):
        return None
    query = f"?{url.query}" if url.query else ""
    settings = _settings(f"{scheme}://{user}{at}{each[0]}/{database}{query}", location)
    if kind:
        settings.pop("host", None)
        settings.pop("port", None)
    return Location(kind, scheme == "rediss", nodes, unquote(service), settings)


def _settings(url: str, location: str) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = redis.connection.parse_url(url)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except ValueError as error:
        raise ImproperlyConfigured(f"MULTISESSION: LOCATION {without_password(location)!r}: {error}") from None
    settings.pop("connection_class", None)
    return settings


def connection_class(location: Location, module: ModuleType) -> Any:
    """Return the class of connections to the servers; ``module`` is redis.connection or redis.asyncio.connection."""
    if location.is_socket:
        return module.UnixDomainSocketConnection
    return module.SSLConnection if location.is_tls else module.Connection


def literal(text: str) -> str:
    """Return text escaped, for SCAN's glob pattern to match it literally."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
