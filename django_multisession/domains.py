"""Cookie domains that a function of the request decides, for a site with many hosts.

The setting names such a function as "module:function"; the colon tells it from a domain.
"""

import re
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .runtime import cached

_DOMAIN = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""What is safe as a domain in a Set-Cookie header: a function may return what a visitor has sent."""

Domain = str | Callable[[Any], str | None] | None


def depends_on_request(given: Domain) -> bool:
    """Tell whether a setting is, or names, a function."""
    return callable(given) or (given is not None and ":" in given)


def domain_for(given: Domain, request: Any) -> str | None:
    """Return the domain that a setting gives to the cookies of a request; None for the host alone.

    A function is not called without a request (None): there is no domain then. Raises ImproperlyConfigured if there is
    no such function, or if it returns what cannot be a domain.
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
