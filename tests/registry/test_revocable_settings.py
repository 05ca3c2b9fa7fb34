"""REVOCABLE where it cannot be kept: told by the checks, and by the middleware, which does not start."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import override_settings

from django_multisession.checks import check_settings
from django_multisession.middleware import SessionMiddleware
from django_multisession.registry.checks import check_registry
from django_multisession.sessions.loading import session_class

COOKIES = "django_multisession.engines.signed_cookies"
SERVER = "django_multisession.engines.memory"
REDIS = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}
LOCAL = ("locmem.LocMemCache", "dummy.DummyCache", "filebased.FileBasedCache")


def configured(entry: dict[str, Any], engine: str = COOKIES, **more: Any) -> Any:
    return override_settings(
        SESSION_ENGINE=engine,
        MULTISESSION={"default": {"REVOCABLE": True, **entry}},
        **{"CACHES": {"default": REDIS}, **more},
    )


def found() -> list[str]:
    return [f"{message.id}: {message.msg}" for message in [*check_settings(), *check_registry()]]


def refused() -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        SessionMiddleware(lambda request: HttpResponse())
    return str(caught.value)


@pytest.mark.parametrize("more", [{}, {"REVOCABLE_CACHE": "default"}, {"REVOCABLE_CACHE": None}])
def test_check_of_a_cache_that_all_share_finds_nothing(more: dict[str, Any]) -> None:
    with configured(more):
        assert found() == []
        SessionMiddleware(lambda request: HttpResponse())


@pytest.mark.parametrize("kind", LOCAL)
def test_cache_that_others_do_not_see_is_refused(kind: str) -> None:
    cache = {"BACKEND": f"django.core.cache.backends.{kind}", "LOCATION": "/nowhere"}
    with configured({}, CACHES={"default": cache}):
        (sentence,) = found()
        assert sentence.startswith(
            "multisession.E021: MULTISESSION['default']['REVOCABLE_CACHE'] is 'default', which is a"
        )
        assert kind.partition(".")[2] in sentence
        assert "or None to ask the database" in sentence
        assert refused() in sentence
        with pytest.raises(ImproperlyConfigured, match="REVOCABLE_CACHE"):
            session_class("default")("some cookie")


def test_cache_that_is_not_configured_is_refused() -> None:
    with configured({"REVOCABLE_CACHE": "shared"}):
        assert found() == [
            "multisession.E021: MULTISESSION['default']['REVOCABLE_CACHE'] is 'shared'; it must be a key of CACHES, "
            "one of 'default'."
        ]
        assert "must be a key of CACHES" in refused()


def test_cache_that_cannot_be_imported_is_named() -> None:
    with configured({}, CACHES={"default": {"BACKEND": "no.such.Cache"}}):
        assert "CACHES['default']['BACKEND'] is 'no.such.Cache'" in refused()


def test_revocable_of_a_session_on_a_server_is_refused() -> None:
    with configured({}, SERVER):
        (sentence,) = found()
        assert sentence.startswith("multisession.E004: MULTISESSION['default']['REVOCABLE'] is for cookie engines")
        assert "is for cookie engines" in refused()


def test_revocable_without_the_registry_is_refused(settings: Any) -> None:
    without = [name for name in settings.INSTALLED_APPS if name != "django_multisession.registry"]
    with configured({}, INSTALLED_APPS=without):
        assert "Add 'django_multisession.registry' to INSTALLED_APPS" in refused()
        with pytest.raises(ImproperlyConfigured, match="there is no registry"):
            session_class("default")("some cookie").load()


def test_limit_of_logins_in_cookies_needs_revocable() -> None:
    limit = {"MAX_SESSIONS_PER_USER": 3}
    with configured(limit):
        assert found() == []
    with configured({**limit, "REVOCABLE": False}):
        (sentence,) = found()
        assert sentence.startswith(
            "multisession.E022: MULTISESSION['default']['MAX_SESSIONS_PER_USER'] needs 'REVOCABLE'"
        )


@pytest.mark.parametrize(("key", "value"), [("REVOCABLE", 1), ("REVOCABLE_CACHE", ""), ("REVOCABLE_CACHE", True)])
def test_wrong_value_is_named(key: str, value: object) -> None:
    with configured({key: value}):
        assert f"MULTISESSION['default'][{key!r}] is {value!r}; it must be " in refused()
