"""Where a MongoDB is: what LOCATION may be, and how it is shown."""

import re
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured

DEFAULT_LOCATION = "mongodb://127.0.0.1:27017/multisession"

_SCHEMES = frozenset({"mongodb", "mongodb+srv"})
_ENCODED = re.compile(r"(?:[^:/?#\[\]@%]|%[0-9A-Fa-f]{2})*")
"""A user or password as RFC 3986 wants it, and PyMongo as well."""
_DATABASE = re.compile(r'[^/\\. "$\0]{1,63}')


class Location(NamedTuple):
    """A LOCATION, the same without password and options, and the name of its database."""

    url: str
    shown: str
    database: str


def parse(location: Any) -> Location:
    """Return what a LOCATION says (None: the standard local address); ImproperlyConfigured, without a password."""
    location = DEFAULT_LOCATION if location is None else location
    if not isinstance(location, str):
        raise ImproperlyConfigured(
            "MULTISESSION's LOCATION for the mongodb engine must be a string such as"
            f" {DEFAULT_LOCATION!r}, not a {type(location).__name__}."
        )
    scheme, separator, rest = location.partition("://")
    # Not by urlsplit(): it refuses, and shows, what has an unescaped bracket in its password.
    # Options come after the database: a "?" before any "/" is of a password that was left unescaped.
    front = rest.partition("?")[0]
    credentials, at, address = (front if "/" in front else rest).rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, _, database = address.partition("/")
    # A user that is not encoded may hold a part of the password.
    user = user if _ENCODED.fullmatch(user) else "…"
    shown = f"{scheme}{separator}{user}{at}{hosts}/{database}"
    if scheme not in _SCHEMES or not hosts:
        raise ImproperlyConfigured(
            f"MULTISESSION's LOCATION for the mongodb engine is {shown if separator else '…'!r}; it"
            " must be 'mongodb://host:port/database' or 'mongodb+srv://host/database'."
        )
    if user == "…" or not _ENCODED.fullmatch(password):
        raise ImproperlyConfigured(
            f"MULTISESSION's LOCATION {shown!r}: percent-encode the user and the password, each with"
            " urllib.parse.quote(…, safe=''): '#' becomes '%23', '@' becomes '%40'."
        )
    if not _DATABASE.fullmatch(database):
        raise ImproperlyConfigured(
            f"MULTISESSION's LOCATION {shown!r} must end with the name of a database: 'mongodb://host:port/database'."
        )
    return Location(location, shown, database)
