"""What else people install for sessions: packages for Django, and Flask-Session for a look over the fence."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.sessions.backends import cache
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import caches

from benchmarks.contests import Entrant, Loop, engine_entrant
from benchmarks.payload import CHANGED, READ, Payload
from benchmarks.sides import SessionSide, Side

DJANGO_REDIS = "django_redis"
"""The key of CACHES that has django-redis behind it."""


class _DjangoRedisSession(cache.SessionStore):
    """Django's cache engine over another key of CACHES than SESSION_CACHE_ALIAS."""

    def __init__(self, session_key: str | None = None) -> None:
        self._cache = caches[DJANGO_REDIS]
        SessionBase.__init__(self, session_key)


def django_redis() -> Entrant:
    """Return Django's cache engine over django-redis."""
    name = "django-redis as cache"

    def make(payload: Payload, loop: Loop | None) -> Side:
        return SessionSide(name, _DjangoRedisSession, payload, loop)

    return Entrant(name, make, package="django-redis", module="django_redis")


# The rest have no asynchronous methods of their own: Django's would move each call to a thread, or lose what
# the package adds.
_SYNC = ("sync",)


def django_redis_sessions(location: str) -> Entrant:
    """Return django-redis-sessions on a server at a Redis URL."""
    name = "django-redis-sessions"

    def make(payload: Payload, _loop: Loop | None) -> Side:
        session = importlib.import_module("redis_sessions.session")
        # It reads the settings at import, and keeps its client for good.
        session.settings.SESSION_REDIS_URL = location
        session.RedisServer._RedisServer__redis.clear()
        return SessionSide(name, session.SessionStore, payload)

    return Entrant(name, make, _SYNC, package=name, module="redis_sessions")


def django_user_sessions() -> Entrant:
    """Return django-user-sessions; its tables are in the default database."""
    name = "django-user-sessions"
    return engine_entrant(name, "user_sessions.backends.db", colours=_SYNC, package=name, module="user_sessions")


def django_qsessions() -> Entrant:
    """Return django-qsessions; its tables are in the default database."""
    name = "django-qsessions"
    return engine_entrant(name, "qsessions.backends.db", colours=_SYNC, package=name, module="qsessions")


def flask_session(location: str) -> Entrant:
    """Return Flask-Session's Redis interface on a server at a Redis URL."""
    name = "Flask-Session"

    def make(payload: Payload, _loop: Loop | None) -> Side:
        return _FlaskSide(name, location, payload)

    return Entrant(name, make, _SYNC, package=name, module="flask_session")


class _FlaskSide(Side):
    """The interface as Flask calls it before and after a view, the cookie left out as for all the others."""

    def __init__(self, name: str, location: str, payload: Payload) -> None:
        import flask
        import redis

        interface_class: Any = importlib.import_module("flask_session.redis").RedisSessionInterface
        self.name = name
        self._app = flask.Flask(__name__)
        self._client = redis.Redis.from_url(location)
        self._interface = interface_class(self._app, self._client)
        self._interface.should_set_cookie = lambda app, session: False
        self._response = self._app.response_class()
        self._data = dict(payload.data)
        self._visits = 100_000
        self._key = self.create("")
        if self.load(self._key) != self._data[READ]:
            raise RuntimeError(f"{name} does not read what it has written")

    def _opened(self, key: str) -> Any:
        return self._interface.open_session(self._app, _Request(key))

    def _saved(self, session: Any) -> None:
        self._interface.save_session(self._app, session, self._response)

    def keys(self, operation: str, number: int) -> Sequence[str]:
        return [self._key] * number

    def load(self, key: str) -> object:
        return self._opened(key)[READ]

    def change(self, key: str) -> None:
        session = self._opened(key)
        self._visits += 1
        session[CHANGED] = self._visits
        self._saved(session)

    def create(self, _key: str) -> str:
        session = self._opened("")
        session.update(self._data)
        self._saved(session)
        return str(session.sid)

    def discard(self, keys: Iterable[str]) -> None:
        self._client.delete(*(f"{self._interface.key_prefix}{key}" for key in keys))

    def close(self) -> None:
        self._client.close()


class _Request:
    """As much of a request as the interface looks at; Flask would have parsed its cookies once."""

    def __init__(self, key: str) -> None:
        self.cookies = {"session": key}
