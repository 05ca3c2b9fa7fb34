"""The project's caches as sources use them: with its settings, except for those that hide a server's failure.

Some caches answer "not there" while their server is away: a page is then rendered again, but a session's visitor would
be logged out.
"""

import sys
import threading
from collections.abc import Mapping
from typing import Any, Final, Self
from weakref import WeakSet

from django.conf import settings
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.cache.backends.memcached import PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils.module_loading import import_string

from ...conf import Fallback
from ...runtime import Event, Kept, on
from .cache_clocks import CLOCKS
from .djangos import loads_pickles

_DJANGO_REDIS: Final = "django_redis.cache"
_FORGETFUL: Final = ("locmem", "dummy")
"""Django's caches that keep nothing beyond the process, or nothing at all."""


class _Caches:
    """One cache object for each alias and thread, since clients need not be thread-safe."""

    def __init__(self) -> None:
        self.here = threading.local()
        self.everywhere: WeakSet[Any] = WeakSet()


_caches: Kept[_Caches] = Kept(_Caches, Event(0))


@on(Event.SETTINGS | Event.TEST)
def _close_caches() -> None:
    for cache in [*_caches.value.everywhere]:
        cache.close()
    _caches.renew()


on(Event.FORK)(_caches.renew)  # without closing: the connections are the parent's


class OwnCache:
    """One alias of CACHES. Only look() and seconds_left() do I/O, and what is called on ``cache``."""

    def __init__(self, alias: str, timeout: float) -> None:
        """``timeout`` is how many seconds its server has for an answer, unless the project's settings allow less."""
        self.alias = alias
        self._timeout = timeout
        try:
            self._params: dict[str, Any] = dict(settings.CACHES[alias])
        except KeyError:
            raise ImproperlyConfigured(
                f"it reads the cache {alias!r} (its LOCATION, or SESSION_CACHE_ALIAS), which CACHES does not have. "
                "Leave it there until FALLBACK is removed."
            ) from None
        self._class: type[Any] = import_string(self._params.pop("BACKEND"))
        self._location = self._params.pop("LOCATION", "")
        if self._class.__module__.rpartition(".")[2] in _FORGETFUL:
            raise ImproperlyConfigured(
                f"it reads the cache {alias!r}, which keeps nothing beyond its process. Remove FALLBACK."
            )
        self._correct()

    @classmethod
    def of(cls, fallback: Fallback) -> Self:
        """Return the cache that LOCATION names, else SESSION_CACHE_ALIAS."""
        entry = fallback.entry
        return cls(str(entry.location or settings.SESSION_CACHE_ALIAS), entry.timeout / 2)

    def __str__(self) -> str:
        return f"CACHES[{self.alias!r}]"

    @property
    def cache(self) -> Any:
        """The cache object of this thread."""
        caches = _caches.value
        found: Any = getattr(caches.here, self.alias, None)
        if found is None:
            found = self._class(self._location, self._params)
            setattr(caches.here, self.alias, found)
            caches.everywhere.add(found)
        return found

    def look(self, key: str) -> object:
        """Read a key on a new connection."""
        cache = self._class(self._location, self._params)
        try:
            return cache.get(key)
        finally:
            cache.close()

    @property
    def database(self) -> str | None:
        """The alias of DATABASES that has the cache's table; None for other caches."""
        if not issubclass(self._class, BaseDatabaseCache):
            return None
        return router.db_for_read(self.cache.cache_model_class)

    @property
    def table(self) -> str:
        """The table of a cache in a database."""
        return str(self._location)

    def _is(self, package: str) -> bool:
        return any(kind.__module__ == package for kind in self._class.__mro__)

    def _correct(self) -> None:
        """Change the settings with which the cache would hide an outage, or read from a replica that lags."""
        options = dict(self._params.get("OPTIONS") or {})
        if issubclass(self._class, PyMemcacheCache):
            # After an error it would answer "not there" for a while, and then ask another node.
            options.update(ignore_exc=False, retry_attempts=sys.maxsize, retry_timeout=-1)
            options |= self._limits(options, "timeout", "connect_timeout")
        elif issubclass(self._class, RedisCache):
            self._location = _first(self._location, ";,")
            options |= self._limits(options, "socket_timeout", "socket_connect_timeout")
        elif self._is(_DJANGO_REDIS):
            options["IGNORE_EXCEPTIONS"] = False
            if "CLIENT_CLASS" not in options:
                self._location = _first(self._location, ",")
        self._params["OPTIONS"] = options

    def _limits(self, options: Mapping[str, Any], *names: str) -> dict[str, float]:
        """Return the project's limits for its server, reduced to what a session may wait."""
        return {name: min(options.get(name) or self._timeout, self._timeout) for name in names}

    @property
    def pickles(self) -> bool:
        """Whether reading loads pickles; True if that is not known."""
        options: Mapping[str, Any] = self._params["OPTIONS"]
        if issubclass(self._class, RedisCache) and "serializer" in options:
            serializer: Any = options["serializer"]
            serializer = import_string(serializer) if isinstance(serializer, str) else serializer
            return loads_pickles(serializer() if callable(serializer) else serializer)
        if self._is(_DJANGO_REDIS) and "SERIALIZER" in options:
            return loads_pickles(import_string(options["SERIALIZER"])(options=options))
        return True

    def seconds_left(self, key: str) -> int | None:
        """Return how many seconds the item under a key has left; None if the cache cannot tell. Does I/O."""
        cache = self.cache
        if self._is(_DJANGO_REDIS):
            left: int | None = cache.ttl(key)
            return left
        for kind, tell in CLOCKS.items():
            if isinstance(cache, kind):
                return tell(cache, cache.make_and_validate_key(key), key)
        return None


def _first(location: Any, separators: str) -> Any:
    """Return the first of several servers, which is the primary."""
    if not isinstance(location, str):
        return list(location)[:1]
    for separator in separators:
        location = location.partition(separator)[0]
    return location
