"""Every engine of ours passes Django's tests of sessions and of its middleware.

Django drives asynchronous tests through async_to_sync, where our engines use their synchronous clients; the classes
…InEventLoop repeat these tests in a loop of asyncio's, with the asynchronous ones.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import unittest
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import SimpleTestCase, TestCase

from tests.databases import database
from tests.django_suite.source import load_session_tests

django_tests = load_session_tests()

OUR_MIDDLEWARE = "django_multisession.middleware"

ENGINES: Mapping[str, str | None] = {
    "memory": None,
    "redis": "redis_server",
    "memcached": "memcached_server",
    "mongodb": "mongodb_server",
    "postgresql": "postgresql_alias",
    "db": None,
    "signed_cookies": None,
    "encrypted_cookies": None,
}
"""Each engine, and the fixture that gives its LOCATION."""
COOKIES = ("signed_cookies", "encrypted_cookies")

_NO_RECORD = "A cookie is its own key, and no server knows which exist."
_UNREADABLE = "A cookie that cannot be read stays, for a rolling deploy must not log out; no record is made."
_NOT_REVOCABLE = "A cookie that is out cannot be revoked."
DOES_NOT_APPLY: Mapping[tuple[str, str], str] = {
    (engine, name): reason
    for engine in COOKIES
    for names, reason in {
        ("test_save", "test_save_async"): _NO_RECORD,
        (
            "test_session_load_does_not_create_record",
            "test_session_load_does_not_create_record_async",
            "test_load_overlong_key",
        ): _UNREADABLE,
        (
            "test_session_save_does_not_resurrect_session_logged_out_in_other_context",
            "test_session_asave_does_not_resurrect_session_logged_out_in_other_context",
            "test_session_update_error_redirect",
        ): _NOT_REVOCABLE,
    }.items()
    for name in names
}
"""The tests of Django's that an engine cannot pass, and why."""


@pytest.fixture(scope="session")
def postgresql_alias(postgresql_server: Any, django_db_blocker: Any) -> Iterator[str]:
    """Add the test server to Django's databases, with our table on it."""
    with django_db_blocker.unblock(), database(postgresql_server.location, "django_suite") as alias:
        yield alias


class Stored:
    """What Django's tests ask of the manager of its Session model, answered by an engine of ours."""

    def __init__(self, store_class: Any) -> None:
        self._store_class = store_class

    def get(self, session_key: str) -> Any:
        return SimpleNamespace(get_decoded=self._store_class(session_key).load)


class Configured:
    """Points Django's settings to one engine while one of Django's tests runs."""

    engine: str
    backend: Any
    middleware: str = "django.contrib.sessions.middleware"
    use_tz = True

    @pytest.fixture(autouse=True)
    def _configured(self, request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        entry: dict[str, Any] = {}
        if server := ENGINES[self.engine]:
            location = request.getfixturevalue(server)
            entry["LOCATION"] = getattr(location, "location", location)
        if self.engine == "postgresql":
            entry["OPTIONS"] = {"connection": "own"}
        settings.MULTISESSION = {"default": entry}
        settings.SESSION_ENGINE = f"django_multisession.engines.{self.engine}"
        settings.USE_TZ = self.use_tz
        store_class = import_module(settings.SESSION_ENGINE).SessionStore
        self.backend = store_class  # which Django's mixin calls to make a session
        # Where Django's tests name its own engine and middleware, ours stand in.
        monkeypatch.setattr(django_tests, "DatabaseSession", store_class)
        monkeypatch.setattr(django_tests, "Session", SimpleNamespace(objects=Stored(store_class)))
        middleware = import_module(self.middleware).SessionMiddleware
        monkeypatch.setattr(django_tests, "SessionMiddleware", middleware)


def _tests_of(base: type) -> dict[str, Any]:
    return {name: test for name, test in inspect.getmembers(base, inspect.isfunction) if name.startswith("test_")}


def _in_event_loop(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def in_event_loop(self: Any) -> None:
        asyncio.run(test(self))

    # What functools.wraps() notes would make inspect, and so Django, take it for a coroutine function.
    del in_event_loop.__wrapped__
    return in_event_loop


def _make(name: str, engine: str, base: type, body: dict[str, Any]) -> None:
    """Add a class of Django's tests for an engine to this module."""
    for test in _tests_of(base) | body:
        if reason := DOES_NOT_APPLY.get((engine, test)):
            body[test] = unittest.skip(reason)(lambda self: None)
    case = TestCase if engine == "db" or issubclass(base, TestCase) else SimpleTestCase
    bases = (Configured, base) if issubclass(base, case) else (Configured, base, case)
    if server := ENGINES[engine]:
        # Before Django prepares the class, for it wraps the methods of all connections that it finds.
        body["pytestmark"] = [pytest.mark.usefixtures(server), pytest.mark.server]
    globals()[name] = type(name, bases, {**body, "engine": engine, "__module__": __name__})


def _make_all() -> None:
    mixin = django_tests.SessionTestsMixin
    overlong = {"test_load_overlong_key": django_tests.CacheSessionTests.test_load_overlong_key}
    # None takes a test away from unittest's loader.
    in_event_loop = {
        name: _in_event_loop(test) if inspect.iscoroutinefunction(test) else None
        for name, test in _tests_of(mixin).items()
    }
    for engine in ENGINES:
        name = "Test" + engine.title().replace("_", "")
        _make(name, engine, mixin, dict(overlong))
        _make(f"{name}Middleware", engine, django_tests.SessionMiddlewareTests, {})
        ours = {"middleware": OUR_MIDDLEWARE}
        _make(f"{name}OurMiddleware", engine, django_tests.SessionMiddlewareTests, ours)
        # Django's connections belong to another thread than the loop's: db has but one colour.
        if engine != "db":
            _make(f"{name}InEventLoop", engine, mixin, dict(in_event_loop))
    _make("TestMemoryWithoutTimeZones", "memory", mixin, {"use_tz": False})


_make_all()


def test_table_of_what_does_not_apply_names_only_tests_that_exist() -> None:
    known = {
        **_tests_of(django_tests.SessionTestsMixin),
        **_tests_of(django_tests.SessionMiddlewareTests),
        **_tests_of(django_tests.CacheSessionTests),
    }
    assert {name for _, name in DOES_NOT_APPLY} <= known.keys()
    assert {engine for engine, _ in DOES_NOT_APPLY} <= ENGINES.keys()
