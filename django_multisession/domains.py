"""The domain of a cookie, where it is a function of the request: for a site that answers to many hosts.

A path names module and function with a colon between them, which no domain has.
"""

import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .runtime import cached

_DOMAIN = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""What a Set-Cookie header takes of a domain without breaking: a function may return what a visitor has sent."""

Domain = str | Callable[[Any], str | None] | None


def depends_on_request(given: Domain) -> bool:
    """Tell whether a setting names a function."""
    return callable(given) or (given is not None and ":" in given)


def domain_for(given: Domain, request: Any) -> str | None:
    """Return the domain that a setting gives to the cookies of a request, None for the host alone.

    Outside of requests (None) a function gives none. Raises ImproperlyConfigured where there is no such function, or
    if it returns what no domain can be.
    """
    if given is None or (isinstance(given, str) and not depends_on_request(given)):
        return given
    function = _imported(given) if isinstance(given, str) else given
    found: object = None if request is None else function(request)
    if found is None or (isinstance(found, str) and _DOMAIN.fullmatch(found)):
        return found
    raise ImproperlyConfigured(
        f"The function {given!r}, which DOMAIN of a session's cookie names, returned {found!r}; it must return a "
        "domain, or None for the host alone."
    )


@cached
def _imported(path: str) -> Callable[[Any], str | None]:
    try:
        found: Callable[[Any], str | None] = import_string(path.replace(":", "."))
    except (ImportError, ValueError) as error:
        raise _wrong(path) from error
    if not callable(found):
        raise _wrong(path)
    return found


def _wrong(path: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"DOMAIN of a session's cookie (or SESSION_COOKIE_DOMAIN) is {path!r}; with a colon it must be "
        '"module:function", the path of a function of the request that returns a domain or None.'
    )
