"""Other packages for sessions: those for Django, and Flask-Session for comparison."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.sessions.backends import cache
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import caches

from benchmarks.payload import AUTH, CHANGED, READ

DJANGO_REDIS = "django_redis"
"""The key of CACHES that has django-redis behind it."""


class DjangoRedisSession(cache.SessionStore):
    """Django's cache engine over another key of CACHES than SESSION_CACHE_ALIAS."""

    def __init__(self, session_key: str | None = None) -> None:
        self._cache = caches[DJANGO_REDIS]
        SessionBase.__init__(self, session_key)


def django_redis_sessions() -> Any:
    """Return the SessionStore of django-redis-sessions for the SESSION_REDIS of now."""
    # It reads its settings at import, and keeps its client for good.
    importlib.reload(importlib.import_module("redis_sessions.settings"))
    return importlib.reload(importlib.import_module("redis_sessions.session")).SessionStore


class FlaskSide:
    """Flask-Session's interface as Flask calls it before and after a view, without the cookie, as all the others."""

    def __init__(self, location: str, data: Mapping[str, Any]) -> None:
        import flask
        import redis

        interface_class: Any = importlib.import_module("flask_session.redis").RedisSessionInterface
        self._app = flask.Flask(__name__)
        self._client = redis.Redis.from_url(location)
        self._interface = interface_class(self._app, self._client)
        self._interface.should_set_cookie = lambda app, session: False
        self._response = self._app.response_class()
        self._data = data
        self._visits = 100_000
        self.key = self.create()
        if self.load(self.key) != AUTH[READ]:
            raise RuntimeError("Flask-Session does not read what it has written")

    def load(self, key: str) -> object:
        return self._opened(key)[READ]

    def change(self, key: str) -> None:
        session = self._opened(key)
        self._visits += 1
        session[CHANGED] = self._visits
        self._interface.save_session(self._app, session, self._response)

    def create(self, key: str = "") -> str:
        session = self._opened("")
        session.update(self._data)
        self._interface.save_session(self._app, session, self._response)
        return str(session.sid)

    def discard(self, keys: Iterable[str]) -> None:
        self._client.delete(*(f"{self._interface.key_prefix}{key}" for key in keys))

    def _opened(self, key: str) -> Any:
        return self._interface.open_session(self._app, _Request(key))


class _Request:
    """As much of a request as the interface looks at; Flask would have parsed its cookies once."""

    def __init__(self, key: str) -> None:
        self.cookies = {"session": key}
