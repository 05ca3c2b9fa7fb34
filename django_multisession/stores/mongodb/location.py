"""Where a MongoDB is: what LOCATION may be, and how it is shown."""

import re
from typing import Any, NamedTuple

from ...reprs import shown_as
from ..wording import wrong_location

DEFAULT_LOCATION = "mongodb://127.0.0.1:27017/multisession"
ALLOWED = "'mongodb://host:port/database' or 'mongodb+srv://host/database'"

_SCHEMES = frozenset({"mongodb", "mongodb+srv"})
_ENCODED = re.compile(r"(?:[^:/?#\[\]@%]|%[0-9A-Fa-f]{2})*")
"""A user or password as RFC 3986 wants it, and PyMongo as well."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:\d+)?")
_DATABASE = re.compile(r'[^/\\. "$\0]{1,63}')


@shown_as(lambda location: location.shown)
class Location(NamedTuple):
    """A LOCATION, the same without password and options, and the name of its database."""

    url: str
    shown: str
    database: str


def parse(location: Any) -> Location:
    """Return what a LOCATION says (None: the standard local address); ImproperlyConfigured, without a password."""
    location = DEFAULT_LOCATION if location is None else location
    if not isinstance(location, str):
        raise wrong_location(location, ALLOWED)
    scheme, separator, rest = location.partition("://")
    # Not by urlsplit(): it refuses, and shows, what has an unescaped bracket in its password.
    # Options come after the database: a "?" before any "/" is of a password that was left unescaped.
    front = rest.partition("?")[0]
    credentials, at, address = (front if "/" in front else rest).rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, _, database = address.partition("/")
    # A user that is not encoded may hold a part of the password.
    user = user if _ENCODED.fullmatch(user) else "…"
    # Where the "@" was forgotten, the password stands in the place of a port.
    shown_hosts = hosts if at or all(map(_HOST.fullmatch, hosts.split(","))) else "…"
    shown = f"{scheme}{separator}{user}{at}{shown_hosts}/{database}"
    if scheme not in _SCHEMES or not hosts:
        raise wrong_location(location, ALLOWED)
    if user == "…" or not _ENCODED.fullmatch(password):
        raise wrong_location(
            location,
            f"{ALLOWED}, user and password percent-encoded, each with urllib.parse.quote(…, safe=''): '#' becomes "
            "'%23', '@' becomes '%40'",
        )
    if not _DATABASE.fullmatch(database):
        raise wrong_location(location, f"{ALLOWED}, with the name of a database at its end")
    return Location(location, shown, database)
