"""Cookie options by settings and at request time, as the browser gets them."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Mapping
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse

from django_multisession.checks import check_settings
from django_multisession.cookies import LONGEST, CookieOptions, cookie_options
from django_multisession.sessions.loading import session_class
from django_multisession.testing.drive import either
from tests.middleware.conftest import DJANGOS, ENCRYPTED, SERVER, SIGNED, Body, Visitor, change, option, put

ENGINES = {"server": SERVER, "signed": SIGNED, "encrypted": ENCRYPTED}


def headers(response: Any, name: str = "sessionid") -> list[dict[str, str]]:
    """Return the attributes of every Set-Cookie header with this name, as they go over the wire."""
    found = []
    for morsel in response.cookies.values():
        first, *attributes = morsel.OutputString().split("; ")
        if first.partition("=")[0] == name:
            pairs = (attribute.partition("=") for attribute in attributes)
            found.append({"": first.partition("=")[2].strip('"'), **{key.lower(): value for key, _, value in pairs}})
    return found


def only(response: Any, name: str = "sessionid") -> dict[str, str]:
    (found,) = headers(response, name)
    return found


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, site: Any) -> str:
    """Make an engine that of both the default session and the session "named"."""
    site.SESSION_ENGINE = ENGINES[request.param]
    site.MULTISESSION = {"named": {"ENGINE": site.SESSION_ENGINE}}
    return str(request.param)


# By settings.

BY_DJANGOS_SETTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"PATH": "/x/"}, {"path": "/x/"}),
    ({"DOMAIN": "example.org"}, {"domain": "example.org"}),
    ({"AGE": 77}, {"max-age": "77"}),
    ({"HTTPONLY": False}, {"httponly": None}),
    ({"HTTPONLY": True}, {"httponly": ""}),
    ({"SECURE": True}, {"secure": ""}),
    ({"SECURE": False}, {"secure": None}),
    ({"SAMESITE": "Strict"}, {"samesite": "Strict"}),
    ({"SAMESITE": "None", "SECURE": True}, {"samesite": "None"}),
    ({"SAMESITE": False}, {"samesite": None}),
]


@pytest.mark.parametrize(("settings_", "expected"), BY_DJANGOS_SETTINGS)
@pytest.mark.parametrize("name", ["default", "named"])
@pytest.mark.usefixtures("engine")
def test_djangos_setting_holds_for_every_session(
    visitor: Visitor, site: Any, name: str, settings_: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    for key, value in settings_.items():
        setattr(site, f"SESSION_COOKIE_{key}", value)
    sent = only(visitor.visit(put(name, n=1)), cookie_options(name).name)
    assert {key: sent.get(key) for key in expected} == expected


@pytest.mark.parametrize("name", ["default", "named"])
@pytest.mark.usefixtures("engine")
def test_cookie_ends_with_the_browser_by_setting(visitor: Visitor, site: Any, name: str) -> None:
    site.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    sent = only(visitor.visit(put(name, n=1)), cookie_options(name).name)
    assert sent.keys().isdisjoint({"max-age", "expires"})


BY_COOKIE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"PATH": "/x/"}, {"path": "/x/"}),
    ({"DOMAIN": "example.org"}, {"domain": "example.org"}),
    ({"MAX_AGE": 77}, {"max-age": "77"}),
    ({"MAX_AGE": 0}, {"max-age": None, "expires": None}),
    ({"MAX_AGE": None}, {"max-age": "1209600"}),
    ({"HTTPONLY": False}, {"httponly": None}),
    ({"SECURE": True}, {"secure": ""}),
    ({"SAMESITE": "strict"}, {"samesite": "Strict"}),
    ({"SAMESITE": False}, {"samesite": None}),
    ({"PARTITIONED": True, "SECURE": True}, {"partitioned": "", "secure": ""}),
    ({}, {"partitioned": None}),
]


@pytest.mark.parametrize(("cookie", "expected"), BY_COOKIE)
def test_cookie_setting_holds_for_its_session(
    visitor: Visitor, site: Any, engine: str, cookie: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    site.MULTISESSION = {"named": {"ENGINE": ENGINES[engine], "COOKIE": cookie}}
    sent = only(visitor.visit(put("named", n=1)), "sessionid_named")
    assert {key: sent.get(key) for key in expected} == expected


# At request time.

AT_REQUEST_TIME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"path": "/sync/"}, {"path": "/sync/"}),
    ({"domain": "example.org"}, {"domain": "example.org"}),
    ({"max_age": 77}, {"max-age": "77"}),
    ({"max_age": 0}, {"max-age": None, "expires": None}),
    ({"max_age": LONGEST}, {"max-age": str(LONGEST)}),
    ({"httponly": False}, {"httponly": None}),
    ({"secure": True}, {"secure": ""}),
    ({"samesite": "strict"}, {"samesite": "Strict"}),
    ({"samesite": None}, {"samesite": None}),
    ({"samesite": "None", "secure": True}, {"samesite": "None", "secure": ""}),
    ({"partitioned": True, "secure": True}, {"partitioned": "", "secure": ""}),
]


@pytest.mark.parametrize(("options", "expected"), AT_REQUEST_TIME)
@pytest.mark.parametrize("name", ["default", "named"])
@pytest.mark.usefixtures("engine")
def test_option_at_request_time_stays_with_the_session(
    visitor: Visitor, name: str, options: dict[str, Any], expected: Mapping[str, Any]
) -> None:
    cookie = cookie_options(name).name
    visitor.visit(put(name, n=1))
    for body in (option(name, **options), put(name, n=2)):
        response = visitor.visit(body)
        sent = [found for found in headers(response, cookie) if found[""]]
        assert [{key: found.get(key) for key in expected} for found in sent] == [expected]
    assert "named" not in visitor.data(name)


@pytest.mark.parametrize("options", [{"path": "/sync/"}, {"secure": True, "samesite": "None", "partitioned": True}])
@pytest.mark.usefixtures("engine")
def test_option_is_past_flush_for_the_deletion(visitor: Visitor, options: dict[str, Any]) -> None:
    visitor.visit(option(**options))

    async def flush(request: Any) -> None:
        await either(request.session.flush, request.session.aflush)

    sent = only(visitor.visit(flush))
    assert sent["max-age"] == "0"
    assert sent["expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert sent["path"] == options.get("path", "/")
    for name in ("secure", "partitioned"):
        assert (name in sent) is options.get(name, False)
    assert sent["samesite"] == options.get("samesite", "Lax")


@pytest.mark.usefixtures("engine")
def test_max_age_of_minus_1_deletes_record_and_cookie(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    before = visitor.client.cookies["sessionid"].value
    assert only(visitor.visit(option(max_age=-1)))["max-age"] == "0"
    if session_class("default").__module__ == SERVER:
        assert not session_class("default")(before).exists(before)
    assert visitor.data() == {}


def test_max_age_after_minus_1_keeps_the_session(visitor: Visitor) -> None:
    visitor.visit(put(n=1))

    async def view(request: Any) -> None:
        await option(max_age=-1)(request)
        await option(max_age=60)(request)

    assert only(visitor.visit(view))["max-age"] == "60"


def test_set_expiry_of_any_length_is_sent(visitor: Visitor) -> None:
    async def view(request: Any) -> None:
        await either(request.session.set_expiry, request.session.aset_expiry, 10**12)

    assert only(visitor.visit(view))["max-age"] == str(LONGEST)


# Moving.

MOVES: list[dict[str, Any]] = [
    {"path": "/sync/"},
    {"domain": "example.org"},
    {"partitioned": True, "secure": True},
]


@pytest.mark.parametrize("options", MOVES)
@pytest.mark.usefixtures("engine")
def test_cookie_that_moves_is_deleted_at_its_old_place(visitor: Visitor, options: dict[str, Any]) -> None:
    visitor.visit(put(n=1))
    old, new = sorted(headers(visitor.visit(option(**options))), key=lambda sent: bool(sent[""]))
    assert (old["max-age"], old["path"]) == ("0", "/")
    assert "domain" not in old
    assert "partitioned" not in old
    assert new["max-age"] != "0"
    # And back, when a later request has loaded it from there.
    back: dict[str, Any] = {key: {"path": "/", "domain": None}.get(key, False) for key in options}
    gone, here = sorted(headers(visitor.visit(option(**back))), key=lambda sent: bool(sent[""]))
    assert {key: gone.get(key) for key in options} == {
        key: "" if value is True else value for key, value in options.items()
    }
    assert gone["max-age"] == "0"
    assert here["path"] == "/"
    assert visitor.data() == {"n": 1}


@pytest.mark.usefixtures("engine")
def test_cookie_that_stays_is_sent_once(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    only(visitor.visit(option(samesite="Strict")))


@pytest.mark.usefixtures("engine")
def test_cookie_that_is_new_is_deleted_nowhere(visitor: Visitor) -> None:
    only(visitor.visit(option(path="/sync/")))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])  # noqa: S301 - what was pickled here
@pytest.mark.parametrize("options", MOVES)
def test_both_cookies_survive_copying_and_pickling_of_the_response(options: dict[str, Any], duplicate: Any) -> None:
    before = CookieOptions("c", "/", None, True, True, "Lax")
    response = HttpResponse()
    before.changed(options).set(response, "value", 60)
    before.delete_beside(response, "c")
    expected = [morsel.OutputString() for morsel in response.cookies.values()]
    assert len(expected) == 2
    assert [morsel.OutputString() for morsel in duplicate(response).cookies.values()] == expected


# What is refused.

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"path": "/a;b"}, r"path.*';'.*RFC 6265"),
    ({"path": "/a\r\nX: y"}, "path.*RFC 6265"),
    ({"path": "/\x00"}, "path.*RFC 6265"),
    ({"path": "/ü"}, "path.*RFC 6265"),
    ({"path": "shop"}, "path.*begin with '/'.*RFC 6265"),
    ({"path": "/" * 2000}, "path.*1024.*RFC 6265bis"),
    ({"path": None}, "path.*must be a string"),
    ({"domain": "a;b"}, "domain.*RFC 6265"),
    ({"domain": "a\nb"}, "domain.*RFC 6265"),
    ({"domain": "bücher.example"}, "domain.*RFC 6265"),
    ({"domain": 7}, "domain.*must be a string"),
    ({"samesite": "Lax; HttpOnly"}, "samesite.*RFC 6265"),
    ({"samesite": "Laxer"}, "samesite.*'Strict'.*RFC 6265bis"),
    ({"samesite": "\uff4cax"}, "samesite.*RFC 6265"),
    ({"samesite": "None"}, "SameSite=None needs Secure.*RFC 6265bis"),
    ({"partitioned": True}, "Partitioned needs Secure.*CHIPS"),
    ({"partitioned": "yes"}, "partitioned.*True or False"),
    ({"secure": 1}, "secure.*True or False"),
    ({"httponly": None}, "httponly.*True or False"),
    ({"max_age": -2}, "max_age.*RFC 6265"),
    ({"max_age": 1.5}, "max_age.*RFC 6265"),
    ({"max_age": True}, "max_age.*RFC 6265"),
    ({"max_age": "60; x"}, "max_age.*RFC 6265"),
    ({"max_age": LONGEST + 1}, "max_age.*RFC 6265"),
    ({"max_age": None}, "max_age.*RFC 6265"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
@pytest.mark.parametrize("name", ["default", "cart"])
def test_wrong_option_is_a_value_error_and_changes_nothing(
    visitor: Visitor, name: str, options: dict[str, Any], message: str
) -> None:
    async def view(request: Any) -> None:
        with pytest.raises(ValueError, match=f"(?s){message}"):
            await option(name, **options)(request)

    sent = only(visitor.visit(view), cookie_options(name).name)
    assert (sent["path"], sent["samesite"], sent["max-age"]) == ("/", "Lax", "1209600")


def test_option_that_does_not_go_with_an_earlier_one_is_a_value_error(visitor: Visitor) -> None:
    visitor.visit(option(samesite="None", secure=True))

    async def view(request: Any) -> None:
        with pytest.raises(ValueError, match="SameSite=None needs Secure"):
            await change(request.session, secure=False)

    visitor.visit(view)


PREFIXED: list[tuple[str, dict[str, Any], str]] = [
    ("__Secure-s", {"secure": False}, "__Secure- needs Secure"),
    ("__Host-s", {"secure": False}, "__Host- needs Secure"),
    ("__Host-s", {"domain": "example.org"}, "__Host-.*no domain"),
    ("__Host-s", {"path": "/x/"}, "__Host-.*path '/'"),
    ("__HOST-s", {"path": "/x/"}, "__Host-.*path '/'"),
    ("__secure-s", {"secure": False}, "__Secure- needs Secure"),
]


@pytest.mark.parametrize(("cookie", "options", "message"), PREFIXED)
def test_prefixed_cookie_keeps_its_rules_at_request_time(
    visitor: Visitor, site: Any, cookie: str, options: dict[str, Any], message: str
) -> None:
    site.SESSION_COOKIE_NAME, site.SESSION_COOKIE_SECURE = cookie, True

    async def view(request: Any) -> None:
        with pytest.raises(ValueError, match=message):
            await option(**options)(request)

    assert "secure" in only(visitor.visit(view), cookie)


SETTINGS: list[tuple[dict[str, Any], str]] = [
    *(({"SESSION_COOKIE_NAME": name, "SESSION_COOKIE_SECURE": True, **{
        f"SESSION_COOKIE_{key.upper()}": value for key, value in options.items()
    }}, message) for name, options, message in PREFIXED),
    ({"SESSION_COOKIE_SAMESITE": "None"}, "SameSite=None needs Secure"),
    ({"SESSION_COOKIE_PATH": "/;x"}, "path"),
    ({"SESSION_COOKIE_DOMAIN": "ü.example"}, "domain"),
    ({"SESSION_COOKIE_NAME": "a b"}, "Cookie name 'a b' is no token"),
    ({"SESSION_COOKIE_NAME": "a=b"}, "Cookie name"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), SETTINGS)
def test_wrong_setting_is_an_error_of_the_system_check(site: Any, wrong: Mapping[str, Any], message: str) -> None:
    site.MULTISESSION = {}
    for key, value in wrong.items():
        setattr(site, key, value)
    problems = [problem.msg for problem in check_settings() if problem.id == "multisession.E008"]
    assert any(re.search(message, problem) for problem in problems), problems


COOKIES: list[tuple[dict[str, Any], str]] = [
    ({"SAMESITE": "None"}, "E008"),
    ({"PARTITIONED": True}, "E008"),
    ({"NAME": "__Host-x", "SECURE": True, "PATH": "/x"}, "E008"),
    ({"PATH": "/;"}, "E008"),
    ({"DOMAIN": "a\r\n"}, "E008"),
    ({"NAME": "a;b"}, "E002"),
    ({"NAME": "sessionid.1"}, "E007"),
    ({"MAX_AGE": -1}, "E002"),
    ({"SAMESITE": "Laxer"}, "E002"),
]


@pytest.mark.parametrize(("cookie", "number"), COOKIES)
def test_wrong_cookie_setting_is_an_error_of_the_system_check(
    site: Any, cookie: Mapping[str, Any], number: str
) -> None:
    site.MULTISESSION = {"cart": {"ENGINE": SIGNED, "COOKIE": cookie}}
    assert [problem.id for problem in check_settings()] == [f"multisession.{number}"]


def test_options_are_refused_under_djangos_own_middleware(visitor: Visitor, site: Any) -> None:
    site.MIDDLEWARE = [DJANGOS]

    async def view(request: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"django_multisession\.middleware\.SessionMiddleware"):
            await change(request.session, path="/x/")

    visitor.visit(view)


# Concurrency.


def changing_meanwhile(visitor: Visitor, body: Body, name: str = "default") -> Body:
    """Return body with a change of SameSite by another request between its reading and saving."""
    cookie = visitor.client.cookies[cookie_options(name).name].value

    async def view(request: Any) -> None:
        await body(request)
        other = session_class(name)(cookie)
        await change(other, samesite="Strict")
        await either(other.save, other.asave)

    return view


def test_concurrent_changes_of_options_merge(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    visitor.visit(changing_meanwhile(visitor, option(httponly=False)))
    sent = only(visitor.visit(put(n=2)))
    assert sent["samesite"] == "Strict"
    assert "httponly" not in sent


def test_option_survives_a_concurrent_change_of_data(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    assert only(visitor.visit(changing_meanwhile(visitor, put(m=2))))["samesite"] == "Strict"
    assert visitor.data() == {"n": 1, "m": 2}


def test_sessions_have_options_of_their_own(visitor: Visitor) -> None:
    visitor.visit(option("second", samesite="Strict"))
    assert only(visitor.visit(put("default", n=1)))["samesite"] == "Lax"
