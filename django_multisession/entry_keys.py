"""The keys of an entry of MULTISESSION: for each, a test of its value, and a description of what is allowed."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

Table = Mapping[str, tuple[Callable[[Any], object], str]]
"""By key: a function that is truthy for an allowed value, and a description of what is allowed."""

LARGEST: Final = 4 * 1024 * 1024
"""The largest MAX_SIZE, in bytes: reading more takes longer than a server may take to answer (decisions.md, D17)."""
MOST_CHUNKS: Final = 20
"""The largest CHUNKS: browsers drop cookies of a site that sets many more."""
LONGEST_TIMEOUT: Final = 60
"""Seconds. A project that sets more has taken TIMEOUT for a session's lifetime, or for the TIMEOUT of CACHES."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # RFC 6265, section 4.1.1


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_TIMEOUT


def _are_strings(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) and item for item in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_prefix(value: Any) -> bool:
    # It is part of the keys on Redis and Memcached, which takes 250 bytes without white space (its protocol.txt).
    return isinstance(value, str) and len(value) <= 64 and all("!" <= c <= "~" for c in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def end_of(until: str) -> datetime:
    """Return the moment that an UNTIL names: of a date, the end of that day. Naive if it names no time zone.

    Raises ValueError if it is neither a date nor a datetime in ISO 8601.
    """
    try:
        day = date.fromisoformat(until)
    except ValueError:
        return datetime.fromisoformat(until)
    return datetime.combine(day + timedelta(days=1), time())


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and end_of(value) is not None
    except (ValueError, OverflowError):
        return False


ALLOWED: Final[Table] = MappingProxyType(
    {
        "ENGINE": (lambda v: isinstance(v, str) and v, "the dotted path of an engine module"),
        "LOCATION": (
            lambda v: (isinstance(v, str) and v) or (_are_strings(v) and v and not isinstance(v, set | frozenset)),
            "a string, or a list of them for memcached",
        ),
        "COOKIE": (_is_mapping, "a dictionary"),
        "KEY_PREFIX": (_is_prefix, "at most 64 printable ASCII characters without spaces"),
        "SERIALIZER": (lambda v: isinstance(v, str) and v, "the dotted path of a serializer"),
        "COMPRESS": (
            lambda v: v is None or _is_count(v),
            "None, or the size in bytes from which on to compress",
        ),
        "ENCRYPT": (lambda v: v is None or isinstance(v, bool), "True or False, or None for True on a server"),
        "KEYS": (
            lambda v: _are_strings(v) and isinstance(v, list | tuple) and v,
            "a list of secrets, strings that are not empty, the newest first",
        ),
        "ON_CONFLICT": (lambda v: v in ("merge", "strict", "overwrite"), '"merge", "strict" or "overwrite"'),
        "MERGE": (
            lambda v: _is_mapping(v) and all(callable(rule) or isinstance(rule, str) for rule in v.values()),
            'a dictionary of session keys to "append", "counter", "union" or the dotted path of a function',
        ),
        "GUARD": (_are_strings, "a list of session keys"),
        "TIMEOUT": (
            _is_seconds,
            f"seconds above 0, at most {LONGEST_TIMEOUT}: how long a request may wait for its stores. How long a "
            "session lives is SESSION_COOKIE_AGE, or MAX_AGE of its COOKIE",
        ),
        "CONNECT_TIMEOUT": (
            lambda v: v is None or _is_seconds(v),
            f"seconds above 0, at most {LONGEST_TIMEOUT}, or None for half of TIMEOUT",
        ),
        "IDLE_TIMEOUT": (lambda v: v is None or (_is_count(v) and v > 0), "whole seconds above 0, or None"),
        "ABSOLUTE_TIMEOUT": (
            lambda v: v is None or _is_count(v),
            "whole seconds, 0 for no such end, or None for the engine's default",
        ),
        "MAX_SIZE": (
            lambda v: _is_count(v) and 0 < v <= LARGEST,
            f"bytes that a session may take on its server, up to {LARGEST}",
        ),
        "MAX_KEYS": (lambda v: _is_count(v) and v > 0, "the most top-level keys of a session"),
        "OPTIONS": (_is_mapping, "a dictionary for the client library"),
        "CHUNKS": (
            lambda v: _is_count(v) and 1 <= v <= MOST_CHUNKS,
            f"the most cookies for one session, 1 to {MOST_CHUNKS}",
        ),
        "ON_OUTAGE": (lambda v: v in ("error", "anonymous"), '"error" or "anonymous"'),
        "PRELOAD": (lambda v: isinstance(v, bool), "True or False"),
        "ENDS_WITH_LOGIN": (lambda v: isinstance(v, bool), "True or False"),
        "MAX_SESSIONS_PER_USER": (
            lambda v: v is None or (_is_count(v) and v > 0),
            "how many sessions a user may have at once, 1 or more, or None for any number",
        ),
        "ON_MAX_SESSIONS": (lambda v: v in ("evict", "refuse"), '"evict" or "refuse"'),
        "REVOCABLE": (lambda v: isinstance(v, bool), "True or False"),
        "REVOCABLE_CACHE": (
            lambda v: v is None or (isinstance(v, str) and v),
            "a key of CACHES, or None to ask the database about every cookie",
        ),
        "FALLBACK": (lambda v: v is None or _is_mapping(v), "a dictionary of where sessions were before, or None"),
    }
)  # fmt: skip


_SECRET = ("KEYS", "OPTIONS", "LOCATION", "FALLBACK")
"""Keys whose values may hold passwords: an error shows only the type of a wrong one."""

COOKIE: Final[Table] = MappingProxyType(
    {
        "NAME": (
            lambda v: isinstance(v, str) and _TOKEN.fullmatch(v),
            "a cookie name: letters, digits and !#$%&'*+-.^_`|~ (RFC 6265, section 4.1.1)",
        ),
        "PATH": (
            lambda v: isinstance(v, str) and v.startswith("/"),
            'a path that begins with "/" (RFC 6265, section 5.2.4)',
        ),
        "DOMAIN": (
            lambda v: v is None or callable(v) or (isinstance(v, str) and v),
            'a domain, None for the host alone (RFC 6265, section 5.2.3), or "module:function", the path of a function '
            "of the request that returns one of these",
        ),
        "MAX_AGE": (
            lambda v: v is None or _is_count(v),
            "seconds (RFC 6265, section 5.2.2), 0 until the browser closes, or None for SESSION_COOKIE_AGE",
        ),
        "HTTPONLY": (lambda v: isinstance(v, bool), "True or False"),
        "SECURE": (lambda v: isinstance(v, bool), "True or False"),
        "SAMESITE": (
            lambda v: v is None or v is False or (isinstance(v, str) and v.lower() in ("lax", "strict", "none")),
            '"Lax", "Strict", "None" (RFC 6265bis, section 4.1.2.7), or False to leave it out',
        ),
        "PARTITIONED": (lambda v: isinstance(v, bool), "True or False"),
    }
)  # fmt: skip


FALLBACK: Final[Table] = MappingProxyType(
    {
        "ENGINE": (lambda v: isinstance(v, str) and v, "the dotted path of the engine module that was used before"),
        "UNTIL": (_is_moment, 'a date or datetime in ISO 8601, such as "2027-01-31"'),
        "CARRY": (lambda v: isinstance(v, bool), "True or False"),
        "REQUIRED": (lambda v: isinstance(v, bool), "True or False"),
        "ALLOW_PICKLE": (lambda v: isinstance(v, bool), "True or False"),
        # The keys that mean for the previous place what they mean for an entry.
        **{
            key: ALLOWED[key]
            for key in (
                "LOCATION", "COOKIE", "KEY_PREFIX", "SERIALIZER", "COMPRESS", "ENCRYPT", "KEYS", "TIMEOUT",
                "CONNECT_TIMEOUT", "OPTIONS", "CHUNKS",
            )
        },
    }
)  # fmt: skip

COOKIE_OF_FALLBACK: Final[Table] = MappingProxyType({"NAME": COOKIE["NAME"]})


def wrong_values(where: str, given: Mapping[Any, Any], table: Table) -> Iterator[str]:
    """Yield a sentence for each key that is not in the table, and each value that it does not allow."""
    for key, value in given.items():
        if key not in table:
            alike = get_close_matches(str(key).upper(), table, 1)
            meant = f" Did you mean {alike[0]!r}?" if alike else ""
            yield f"{where} has the unknown key {key!r}.{meant} Allowed are {', '.join(table)}."
            continue
        accepts, allowed = table[key]
        if not accepts(value):
            shown = f"of type {type(value).__name__}" if value and key in _SECRET else repr(value)
            yield f"{where}[{key!r}] is {shown}; it must be {allowed}."
