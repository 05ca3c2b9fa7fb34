"""System checks that ``manage.py check --deploy`` adds, for every session."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.test import override_settings

from django_multisession.checks import check_deploy
from django_multisession.http.error_reports import ExceptionReporterFilter
from django_multisession.runtime import Event, reset

ENGINES = "django_multisession.engines"
OURS = "django_multisession.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
DJANGOS_FILTER = "django.views.debug.SafeExceptionReporterFilter"
WITHOUT_DJANGOS = [name for name in settings.INSTALLED_APPS if name != "django.contrib.sessions"]
SAFE = {
    "SESSION_COOKIE_NAME": "__Host-sessionid",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "MIDDLEWARE": [OURS],
}


def found(default: dict[str, Any] | None = None, engine: str = "redis", **changes: Any) -> dict[str, str]:
    """Return the sentences of the checks by number, for a default session that is safe but for the changes."""
    given = {"SESSION_ENGINE": f"{ENGINES}.{engine}", "MULTISESSION": {"default": default or {}}, **SAFE, **changes}
    with override_settings(**given):
        return {(message.id or "").partition(".")[2]: f"{message.msg} {message.hint}" for message in check_deploy()}


def of_cookie(**cookie: Any) -> dict[str, str]:
    """Return what is found of a named session's cookie."""
    given = {"NAME": "__Host-cart", **cookie}
    return found(MULTISESSION={"cart": {"ENGINE": f"{ENGINES}.redis", "COOKIE": given}})


def test_check_of_a_safe_session_finds_nothing() -> None:
    assert found() == of_cookie() == {}


@pytest.mark.parametrize(
    ("cookie", "number", "words"),
    [
        ({"NAME": "cart", "SECURE": False}, "W020", "['COOKIE']['SECURE']"),
        ({"HTTPONLY": False}, "W021", "['COOKIE']['HTTPONLY']"),
        ({"SAMESITE": "None"}, "W022", "['COOKIE']['SAMESITE']"),
        ({"SAMESITE": False}, "W022", "not sent"),
        ({"NAME": "cart"}, "I001", "'__Host-cart'"),
    ],
)
def test_check_of_a_named_sessions_cookie_names_the_key(cookie: dict[str, Any], number: str, words: str) -> None:
    assert words in of_cookie(**cookie)[number]


@pytest.mark.parametrize("cookie", [{"PATH": "/shop/"}, {"DOMAIN": "example.com"}])
def test_check_advises_no_prefix_that_the_cookie_cannot_have(cookie: dict[str, Any]) -> None:
    assert of_cookie(NAME="cart", **cookie) == {}


@pytest.mark.parametrize(("attribute", "number"), [("SECURE", "W020"), ("HTTPONLY", "W021")])
def test_check_of_the_default_cookie_is_ours_only_where_django_has_none(attribute: str, number: str) -> None:
    changes: dict[str, Any] = {f"SESSION_COOKIE_{attribute}": False, "SESSION_COOKIE_NAME": "sessionid"}
    assert number not in found(**changes)
    assert f"SESSION_COOKIE_{attribute}" in found(INSTALLED_APPS=WITHOUT_DJANGOS, **changes)[number]


@pytest.mark.parametrize(("secret", "finds"), [("x" * 31, True), ("x" * 32, False)])
def test_check_of_short_keys_does_not_show_them(secret: str, finds: bool) -> None:
    sentences = found({"KEYS": ["y" * 50, secret]})
    assert ("W023" in sentences) is finds
    assert secret not in str(sentences)


def test_check_of_an_emptied_guard_beside_a_second_factor_finds_it() -> None:
    with patch.object(settings, "INSTALLED_APPS", [*settings.INSTALLED_APPS, "django_otp"]):
        reset(Event.SETTINGS)
        assert found() == {}
        assert "'django_otp'" in found({"GUARD": []})["W024"]
    reset(Event.SETTINGS)
    assert found({"GUARD": []}) == {}


@pytest.mark.parametrize(("engine", "number"), [("memory", "W025"), ("memcached", "W026")])
def test_check_of_an_engine_that_loses_logins_finds_it(engine: str, number: str) -> None:
    assert number in found(engine=engine)


def test_check_of_memcached_for_a_cart_finds_nothing() -> None:
    assert found(MULTISESSION={"cart": {"ENGINE": f"{ENGINES}.memcached", "COOKIE": {"NAME": "__Host-c"}}}) == {}


@pytest.mark.parametrize(
    ("engine", "location", "finds"),
    [
        ("redis", "redis://u:hush-hush@db.example.com/0", True),
        ("redis", "redis://10.0.0.1:6379", True),
        ("redis", "rediss://db.example.com/0", False),
        ("redis", "redis://localhost:6379", False),
        ("redis", "redis://:hush-hush@127.0.0.1:6379/0", False),
        ("redis", "redis://[::1]:6379/0", False),
        ("redis", "unix:///run/redis.sock", False),
        ("mongodb", "mongodb://u:hush-hush@db.example.com/shop", True),
        ("mongodb", "mongodb://127.0.0.1,db.example.com/shop", True),
        ("mongodb", "mongodb://db.example.com/shop?tls=true", False),
        ("mongodb", "mongodb://127.0.0.1/shop", False),
    ],
)
def test_check_of_a_server_elsewhere_without_tls_finds_it(engine: str, location: str, finds: bool) -> None:
    sentences = found({"LOCATION": location}, engine)
    assert ("W027" in sentences) is finds
    assert "hush-hush" not in str(sentences)


@pytest.mark.parametrize(
    ("engine", "entry"),
    [
        ("redis", {"LOCATION": "rediss://db.example.com?ssl_cert_reqs=none"}),
        ("redis", {"LOCATION": "rediss://db.example.com", "OPTIONS": {"ssl_cert_reqs": "none"}}),
        ("redis", {"LOCATION": "rediss://db.example.com", "OPTIONS": {"ssl_cert_reqs": None}}),
        ("mongodb", {"LOCATION": "mongodb://db.example.com/shop?tls=true&tlsInsecure=true"}),
    ],
)
def test_check_of_an_unverified_certificate_finds_it(engine: str, entry: dict[str, Any]) -> None:
    assert "W028" in found(entry, engine)


class Filter(ExceptionReporterFilter):
    """A project's own, over ours."""


@pytest.mark.parametrize(
    ("changes", "finds"),
    [
        ({"DEFAULT_EXCEPTION_REPORTER_FILTER": "no.such.Filter"}, True),
        ({"DEFAULT_EXCEPTION_REPORTER_FILTER": DJANGOS_FILTER}, False),
        ({"DEFAULT_EXCEPTION_REPORTER_FILTER": f"{__name__}.Filter"}, False),
        ({"DEFAULT_EXCEPTION_REPORTER_FILTER": DJANGOS_FILTER, "MIDDLEWARE": [DJANGOS]}, True),
    ],
)
def test_check_of_error_reports_that_show_keys_finds_them(changes: dict[str, Any], finds: bool) -> None:
    assert ("W029" in found(**changes)) is finds


def test_check_of_one_cookie_session_tells_what_nginx_needs() -> None:
    assert "proxy_buffer_size 16k" in found(engine="signed_cookies")["W003"]
