"""Check that no cache is in the place of sessions: cache.clear() empties a whole Redis database or memcached."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings

from ..conf import entry
from .found import Found, is_kept_by, sessions, store_of, warning

_PORTS = {"redis": 6379, "memcached": 11211}


def check_caches() -> Found:
    """Check that no cache shares the Redis database or memcached of a session."""
    caches = [(name, place) for name, given in settings.CACHES.items() for place in _places_of_cache(given)]
    for session, kind in sessions():
        store = store_of(kind)
        backend = next((backend for backend in _PORTS if is_kept_by(store, backend)), None)
        if backend is None:
            continue
        ours = set(_places(backend, entry(session).location or f"127.0.0.1:{_PORTS[backend]}"))
        for cache in dict.fromkeys(name for name, place in caches if place in ours):
            yield warning(
                "W007",
                f"CACHES[{cache!r}] and session {session!r} are at the same place. cache.clear() empties it, and logs "
                "everybody out; a cache that fills up does so one by one.",
                "Give sessions a Redis database or a memcached of their own.",
            )


def _places_of_cache(given: Mapping[str, Any]) -> Iterator[tuple[str, str, int, str]]:
    backend = next((backend for backend in _PORTS if backend in given.get("BACKEND", "").lower()), None)
    if backend is not None:
        database = given.get("OPTIONS", {}).get("db")
        yield from _places(backend, given.get("LOCATION", ""), database)


def _places(
    backend: str, location: str | Iterable[str], database: object = None
) -> Iterator[tuple[str, str, int, str]]:
    """Yield the backend, host, port and database of each server that a LOCATION names."""
    texts = re.split("[;,]", location) if isinstance(location, str) else location
    for text in texts:
        try:
            url = urlsplit(text if "://" in text else f"//{text}")
            host, port = url.hostname or url.path, url.port or _PORTS[backend]
        except ValueError:
            continue
        chosen = database if database is not None else (parse_qs(url.query).get("db") or [url.path.strip("/")])[0]
        if url.scheme == "unix":
            chosen = database or (parse_qs(url.query).get("db") or ["0"])[0]
        yield backend, "127.0.0.1" if host == "localhost" else host, port, str(chosen or "0")
