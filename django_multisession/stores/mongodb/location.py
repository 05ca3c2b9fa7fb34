"""LOCATION of the mongodb engine: what is allowed, and how it may be shown."""

import re
from typing import Any, NamedTuple

from ...reprs import shown_as
from ..wording import wrong_location

DEFAULT_LOCATION = "mongodb://127.0.0.1:27017/multisession"
ALLOWED = "'mongodb://host:port/database' or 'mongodb+srv://host/database'"

_SCHEMES = frozenset({"mongodb", "mongodb+srv"})
_ENCODED = re.compile(r"(?:[^:/?#\[\]@%]|%[0-9A-Fa-f]{2})*")
"""A user or password that is encoded as RFC 3986 and PyMongo demand it."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:\d+)?")
_DATABASE = re.compile(r'[^/\\. "$\0]{1,63}')


@shown_as(lambda location: location.shown)
class Location(NamedTuple):
    """A LOCATION: as it is, as it may be shown (without password and options), and the name of its database."""

    url: str
    shown: str
    database: str


def parse(location: Any) -> Location:
    """Parse a LOCATION, DEFAULT_LOCATION for None; ImproperlyConfigured, without a password, if it is wrong."""
    location = DEFAULT_LOCATION if location is None else location
    if not isinstance(location, str):
        raise wrong_location(location, ALLOWED)
    scheme, separator, rest = location.partition("://")
    # Not by urlsplit(): its error shows a password that has an unescaped bracket.
    # Options come after the database: a "?" before any "/" belongs to a password that was left unescaped.
    front = rest.partition("?")[0]
    credentials, at, address = (front if "/" in front else rest).rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, _, database = address.partition("/")
    # Without encoding, what looks like the user may hold a part of the password.
    user = user if _ENCODED.fullmatch(user) else "…"
    # If the "@" was forgotten, the password stands in the place of a port.
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
