"""The MULTISESSION setting, as frozen entries: validated once, unknown keys refused, read again on a change."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .runtime import Event, cached, reset

DEFAULT: Final = "default"
IDENTITY: Final = frozenset({"_auth_user_id", "_auth_user_backend"})
"""The keys that say whose session it is (django.contrib.auth)."""
GUARDED: Final = IDENTITY | {"_auth_user_hash"}
"""Keys that are merged as one unit or not at all; GUARD adds to them."""
LARGEST: Final = 4 * 1024 * 1024
"""The highest that MAX_SIZE can be, in bytes: reading more takes longer than an answer may take."""
MOST_CHUNKS: Final = 20
"""The highest that CHUNKS can be: more cookies than that, browsers drop."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One session of the MULTISESSION setting. Times are seconds, sizes bytes."""

    name: str
    engine: str | None = None
    location: str | tuple[str, ...] | None = field(default=None, repr=False)
    cookie: Mapping[str, Any] = field(default_factory=dict)
    key_prefix: str = ""
    serializer: str | None = None
    compress: int | None = None
    """Compress bodies of at least so many bytes; None never does.

    Off unless asked for, above all where data is encrypted: the length of what was compressed tells an observer
    how much a secret resembles a text that he chose (as CRIME and BREACH did with TLS).
    """
    encrypt: bool | None = None
    """Whether sessions on a server are sealed; None does so. Cookie engines say themselves what they do."""
    keys: tuple[str, ...] | None = field(default=None, repr=False)
    on_conflict: str = "merge"
    merge: Mapping[str, Any] = field(default_factory=dict)
    guard: frozenset[str] = GUARDED
    timeout: float = 1.0
    connect_timeout: float | None = None
    """Seconds that connecting may take; None is half of the timeout."""
    max_size: int = 256 * 1024
    """Bytes of a session on a server, as stored. One that is larger already stays readable; changes are refused."""
    max_keys: int = 1000
    """Top-level keys of a session on a server, likewise."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    chunks: int = 1
    """How many cookies a cookie engine may spread one session over."""
    on_outage: str = "error"
    preload: bool = False

    @property
    def secrets(self) -> tuple[str | bytes, ...]:
        """The secrets in their order: KEYS, else SECRET_KEY and SECRET_KEY_FALLBACKS."""
        return self.keys or (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def _setting_changed(*, setting: str, **kwargs: object) -> None:
    if setting.startswith(("MULTISESSION", "SESSION_", "SECRET_KEY")) or setting in ("DATABASES", "MIDDLEWARE"):
        reset(Event.SETTINGS)


setting_changed.connect(_setting_changed, dispatch_uid="django_multisession.conf")


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)  # RFC 6265, section 4.1.1


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_strings(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) and item for item in value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_prefix(value: Any) -> bool:
    # It becomes part of keys on Redis and Memcached: 250 bytes, no white space (memcached's protocol.txt).
    return isinstance(value, str) and len(value) <= 64 and all("!" <= c <= "~" for c in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


_ALLOWED: Mapping[str, tuple[Callable[[Any], object], str]] = MappingProxyType(
    {
        "ENGINE": (lambda v: isinstance(v, str) and v, "the dotted path of an engine module"),
        "LOCATION": (
            lambda v: (isinstance(v, str) and v) or (_is_strings(v) and v and not isinstance(v, set | frozenset)),
            "a string, or a list of them for memcached",
        ),
        "COOKIE": (_is_mapping, "a dictionary"),
        "KEY_PREFIX": (_is_prefix, "at most 64 printable ASCII characters without spaces"),
        "SERIALIZER": (lambda v: isinstance(v, str) and v, "the dotted path of a serializer"),
        "COMPRESS": (
            lambda v: v is None or _is_int(v),
            "None, or the size in bytes from which on to compress",
        ),
        "ENCRYPT": (lambda v: v is None or isinstance(v, bool), "True or False, or None for True on a server"),
        "KEYS": (lambda v: _is_strings(v) and isinstance(v, list | tuple) and v, "a list of secrets, the newest first"),
        "ON_CONFLICT": (lambda v: v in ("merge", "strict", "overwrite"), '"merge", "strict" or "overwrite"'),
        "MERGE": (
            lambda v: _is_mapping(v) and all(callable(rule) or isinstance(rule, str) for rule in v.values()),
            'a dictionary of session keys to "append", "counter", "union" or the dotted path of a function',
        ),
        "GUARD": (_is_strings, "a list of session keys"),
        "TIMEOUT": (_is_seconds, "seconds above 0"),
        "CONNECT_TIMEOUT": (lambda v: v is None or _is_seconds(v), "seconds above 0, or None for half of TIMEOUT"),
        "MAX_SIZE": (
            lambda v: _is_int(v) and 0 < v <= LARGEST,
            f"bytes that a session may take on its server, up to {LARGEST}",
        ),
        "MAX_KEYS": (lambda v: _is_int(v) and v > 0, "the most top-level keys of a session"),
        "OPTIONS": (_is_mapping, "a dictionary for the client library"),
        "CHUNKS": (
            lambda v: _is_int(v) and 1 <= v <= MOST_CHUNKS,
            f"the most cookies for one session, 1 to {MOST_CHUNKS}",
        ),
        "ON_OUTAGE": (lambda v: v in ("error", "anonymous"), '"error" or "anonymous"'),
        "PRELOAD": (lambda v: isinstance(v, bool), "True or False"),
    }
)  # fmt: skip


_SECRET = ("KEYS", "OPTIONS", "LOCATION")
"""What may hold passwords: of a wrong value only the type is shown."""

_COOKIE: Mapping[str, tuple[Callable[[Any], object], str]] = MappingProxyType(
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
            lambda v: v is None or (isinstance(v, str) and v),
            "a domain, or None for the host alone (RFC 6265, section 5.2.3)",
        ),
        "MAX_AGE": (
            lambda v: v is None or _is_int(v),
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


def _wrong_values(
    where: str, given: Mapping[Any, Any], table: Mapping[str, tuple[Callable[[Any], object], str]]
) -> Iterator[str]:
    for key, value in given.items():
        if key not in table:
            yield f"{where} has the unknown key {key!r}. Allowed are {', '.join(table)}."
            continue
        accepts, allowed = table[key]
        if not accepts(value):
            shown = f"of type {type(value).__name__}" if key in _SECRET else repr(value)
            yield f"{where}[{key!r}] is {shown}; it must be {allowed}."


def _wrong_name(name: Any) -> Iterator[str]:
    if not (isinstance(name, str) and name.isascii() and name.isidentifier() and len(name) <= 32):
        yield (f"MULTISESSION has the session name {name!r}; it must be an ASCII identifier of at most 32 characters.")


def _wrong_entry(name: Any, given: Any) -> Iterator[str]:
    where = f"MULTISESSION[{name!r}]"
    if not isinstance(given, Mapping):
        yield f"{where} is of type {type(given).__name__}; it must be a dictionary."
        return
    yield from _wrong_values(where, given, _ALLOWED)
    if name == DEFAULT and "ENGINE" in given:
        yield f"{where} has an ENGINE; the default session's engine is SESSION_ENGINE. Remove it."
    if name == DEFAULT and "COOKIE" in given:
        yield (
            f"{where} has a COOKIE; the default session's cookie is set by SESSION_COOKIE_NAME, _PATH, _AGE "
            "and the other SESSION_COOKIE_* settings. Remove it."
        )
    if name != DEFAULT and "ENGINE" not in given:
        yield f'{where} has no ENGINE. Name one, such as "django_multisession.engines.redis".'
    cookie = given.get("COOKIE")
    if isinstance(cookie, Mapping):
        yield from _wrong_values(f"{where}['COOKIE']", cookie, _COOKIE)


def _setting() -> Mapping[Any, Any]:
    given = getattr(settings, "MULTISESSION", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(
            f"MULTISESSION is of type {type(given).__name__}; it must be a dictionary of sessions by name."
        )
    return given


def problems(name: str) -> list[str]:
    """Return a sentence for everything that is wrong with an entry as it is written; see checks.py for the rest.

    Raises ImproperlyConfigured if MULTISESSION as a whole is no dictionary.
    """
    return [*_wrong_name(name), *_wrong_entry(name, _setting().get(name, {}))]


@cached
def entry(name: str) -> Entry:
    """Return the entry of a session name; ImproperlyConfigured if it is missing or wrong."""
    given = _setting()
    if name not in given and name != DEFAULT:
        raise ImproperlyConfigured(
            f"MULTISESSION has no entry {name!r}. Configured are {', '.join(map(repr, names()))}."
        )
    for sentence in problems(name):
        raise ImproperlyConfigured(sentence)
    values = {key.lower(): value for key, value in given.get(name, {}).items()}
    if isinstance(values.get("location"), list):
        values["location"] = tuple(values["location"])
    if "keys" in values:
        values["keys"] = tuple(values["keys"])
    values["guard"] = GUARDED | frozenset(values.get("guard", ()))
    return Entry(name, **values)


def names() -> list[str]:
    """Return the configured session names, the default one first."""
    return [DEFAULT, *(name for name in _setting() if name != DEFAULT)]
