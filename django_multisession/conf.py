"""The MULTISESSION setting as frozen entries: validated at first use, and again after a change of settings."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils import timezone

from . import guards
from .entry_keys import ALLOWED, COOKIE, COOKIE_OF_FALLBACK, FALLBACK, end_of, wrong_values
from .runtime import Event, cached, reset

DEFAULT: Final = "default"
DJANGOS_DEFAULT: Final = "django.contrib.sessions.backends.db"
IDENTITY: Final = frozenset({"_auth_user_id", "_auth_user_backend"})
"""The keys with which django.contrib.auth says whose session it is. Why the hash is not one: decisions.md, D5."""
GUARDED: Final = IDENTITY | {"_auth_user_hash"}
"""Keys that are merged as one unit or not at all; guards.py and GUARD add to them."""


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

    Off by default, above all because of encryption: the compressed length tells an observer how much a secret
    resembles a text that they chose (the CRIME and BREACH attacks on TLS).
    """
    encrypt: bool | None = None
    """Whether sessions on a server are sealed; None means True. A cookie engine itself decides whether it encrypts."""
    keys: tuple[str, ...] | None = field(default=None, repr=False)
    on_conflict: str = "merge"
    merge: Mapping[str, Any] = field(default_factory=dict)
    guard: frozenset[str] = GUARDED
    timeout: float = 1.0
    connect_timeout: float | None = None
    """Seconds that connecting may take; None is half of the timeout."""
    idle_timeout: int | None = None
    """Seconds after its last use at which a session ends; None for no such limit."""
    absolute_timeout: int | None = None
    """Seconds after its creation, or its login if that was later, at which a session ends; 0 for no such limit.

    None means no limit on a server, and for a cookie engine twice the larger of the cookie's age and set_expiry().
    """
    max_size: int = 256 * 1024
    """Bytes that a session may take on a server, as stored. A larger one stays readable, but is not saved changed."""
    max_keys: int = 1000
    """Top-level keys that a session on a server may have; likewise."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    chunks: int = 1
    """How many cookies a cookie engine may spread one session over."""
    on_outage: str = "error"
    preload: bool = False
    ends_with_login: bool = True
    """Whether a named session ends when its user logs out, or another user logs in."""
    max_sessions_per_user: int | None = None
    """How many logins a user may have at once, where the registry is installed; None for any number."""
    on_max_sessions: str = "evict"
    """What happens at one login too many: the oldest login ends ("evict"), or the new one is refused ("refuse")."""
    revocable: bool = False
    """Whether the registry is asked about each cookie of a cookie engine that holds a login."""
    revocable_cache: str | None = "default"
    """The key of CACHES where the registry's answers are cached; None asks the database each time."""
    fallback: "Fallback | None" = None

    @property
    def secrets(self) -> tuple[str | bytes, ...]:
        """The secrets in their order: KEYS, else SECRET_KEY and SECRET_KEY_FALLBACKS."""
        return self.keys or (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@dataclass(frozen=True, slots=True)
class Fallback:
    """The place where an entry's sessions were before. ``entry`` describes it, under the same session name."""

    entry: Entry
    until: datetime
    """From when on the place is no longer asked; an aware datetime."""
    carry: bool = True
    """Whether a session that is found there is moved here; otherwise it is read and written there."""
    required: bool = True
    """Whether a request fails while the place does not answer; otherwise its session is empty."""
    allow_pickle: bool = False
    """Whether pickles that it holds may be loaded, which runs whatever code they name."""


_OTHER_SETTINGS = frozenset({"CACHES", "DATABASES", "INSTALLED_APPS", "MIDDLEWARE"})
"""Settings of others that the package's cached values depend on."""


def _setting_changed(*, setting: str, **kwargs: object) -> None:
    if setting.startswith(("MULTISESSION", "SESSION_", "SECRET_KEY")) or setting in _OTHER_SETTINGS:
        reset(Event.SETTINGS)


setting_changed.connect(_setting_changed, dispatch_uid="django_multisession.conf")


def _wrong_name(name: Any) -> Iterator[str]:
    if not (isinstance(name, str) and name.isascii() and name.isidentifier() and len(name) <= 32):
        yield f"MULTISESSION has the session name {name!r}; it must be an ASCII identifier of at most 32 characters."


def _wrong_entry(name: Any, given: Any) -> Iterator[str]:
    where = f"MULTISESSION[{name!r}]"
    if name in ALLOWED and not (isinstance(given, Mapping) and "ENGINE" in given):
        yield (
            f"MULTISESSION has the session name {name!r}, which is a key of an entry: put it into "
            f"MULTISESSION[{DEFAULT!r}]."
        )
        return
    if not isinstance(given, Mapping):
        such_as = """{'LOCATION': "..."}"""
        yield f"{where} is of type {type(given).__name__}; it must be a dictionary, such as {such_as}."
        return
    yield from wrong_values(where, given, ALLOWED)
    if name == DEFAULT and "ENGINE" in given:
        yield f"{where} has an ENGINE; the default session's engine is SESSION_ENGINE. Remove it."
    if name == DEFAULT and "COOKIE" in given:  # decisions.md, D1
        yield (
            f"{where} has a COOKIE; the default session's cookie is set by SESSION_COOKIE_NAME, _PATH, _AGE "
            "and the other SESSION_COOKIE_* settings. Remove it."
        )
    if name == DEFAULT and "ENDS_WITH_LOGIN" in given:
        yield f"{where} has ENDS_WITH_LOGIN, which is for named sessions: the default one holds the login. Remove it."
    if name != DEFAULT and "ENGINE" not in given:
        meant = f" Did you mean {DEFAULT!r}?" if str(name).lower() == DEFAULT else ""
        yield f'{where} has no ENGINE. Name one, such as "django_multisession.engines.redis".{meant}'
    cookie = given.get("COOKIE")
    if isinstance(cookie, Mapping):
        yield from wrong_values(f"{where}['COOKIE']", cookie, COOKIE)
    fallback = given.get("FALLBACK")
    if isinstance(fallback, Mapping):
        yield from _wrong_fallback(f"{where}['FALLBACK']", fallback)


def _wrong_fallback(where: str, given: Mapping[Any, Any]) -> Iterator[str]:
    yield from wrong_values(where, given, FALLBACK)
    if "ENGINE" not in given:
        yield f'{where} has no ENGINE. Name the one that was used before, such as "{DJANGOS_DEFAULT}".'
    if "UNTIL" not in given:
        yield (
            f'{where} has no UNTIL. Name the day until which sessions may come from there, such as "2027-01-31": no '
            "later than the last of them ends."
        )
    cookie = given.get("COOKIE")
    if isinstance(cookie, Mapping):
        yield from wrong_values(f"{where}['COOKIE']", cookie, COOKIE_OF_FALLBACK)


def _setting() -> Mapping[Any, Any]:
    given = getattr(settings, "MULTISESSION", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(
            f"MULTISESSION is of type {type(given).__name__}; it must be a dictionary of sessions by name."
        )
    return given


def problems(name: str) -> list[str]:
    """Return a sentence for each mistake that the entry alone shows; checks/ finds those that depend on other settings.

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
    if found := problems(name):
        raise ImproperlyConfigured(found[0])
    values = _values(given.get(name, {}))
    values["guard"] = _guarded(values.get("guard"))
    if values.get("fallback") is not None:
        values["fallback"] = _fallback(name, _values(values["fallback"]))
    return Entry(name, **values)


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    values = {key.lower(): value for key, value in given.items()}
    if isinstance(values.get("location"), list):
        values["location"] = tuple(values["location"])
    if "keys" in values:
        values["keys"] = tuple(values["keys"])
    return values


def _fallback(name: str, values: dict[str, Any]) -> Fallback:
    own = {key: values.pop(key) for key in ("carry", "required", "allow_pickle") if key in values}
    until = end_of(values.pop("until"))
    if timezone.is_naive(until):
        # TIME_ZONE, and not the time zone that a request has activated.
        until = timezone.make_aware(until, timezone.get_default_timezone())
    return Fallback(Entry(name, **values), until, **own)


def _guarded(given: Iterable[str] | None) -> frozenset[str]:
    """Return the keys that are merged as one unit, given GUARD; an empty one leaves out those of other packages."""
    if given is not None and not given:
        return GUARDED
    return GUARDED.union(given or (), *guards.installed(settings.INSTALLED_APPS).values())


def names() -> list[str]:
    """Return the configured session names, the default one first."""
    return [DEFAULT, *(name for name in _setting() if name != DEFAULT)]
