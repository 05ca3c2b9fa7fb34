"""Texts that all stores share: about a wrong LOCATION, and about a server that is not available."""

import re
from typing import Final

from django.core.exceptions import ImproperlyConfigured

NO_ANSWER: Final = "no answer in time"
LOST: Final = "connection lost"
NO_HOST: Final = "there is no host of this name. Correct LOCATION."
WRONG_LOGIN: Final = "wrong user or password. Correct LOCATION."


def lost(error: OSError) -> str:
    """Return the reason for a lost connection, as the socket, TLS or the resolver reports it."""
    return f"{LOST}: {type(error).__name__}{f', {error.strerror}' if error.strerror else ''}"


def sentence(error: object) -> str:
    """Return what a client library says, ended like a sentence: some end with a full stop or a question already."""
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."


def wrong_location(location: object, allowed: str) -> ImproperlyConfigured:
    """Return the error for a LOCATION, or an item of it: it shows it without its password, and what is allowed."""
    kind = "list" if isinstance(location, tuple) else type(location).__name__  # entries hold lists as tuples
    shown = repr(without_password(location)) if isinstance(location, str) else f"of type {kind}"
    return ImproperlyConfigured(f"MULTISESSION: LOCATION is {shown}; it must be {allowed}.")


def without_password(location: str) -> str:
    """Return a location, even a malformed one, without user and query, since both may hold a password."""
    scheme, separator, rest = location.rpartition("://")
    shown = re.split("[?#]", rest.rpartition("@")[2])[0]
    return f"{scheme.partition('://')[0]}{separator}{shown}"
