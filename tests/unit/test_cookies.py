"""The cookie's attributes by settings, and the room they take."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse

from django_multisession.conf import Entry
from django_multisession.cookies import MAX_ATTRIBUTE, MAX_SIZE, SURELY_FITS, CookieOptions, cookie_options

ATTRIBUTES = {
    "NAME": "c",
    "PATH": "/shop/",
    "DOMAIN": ".example.org",
    "MAX_AGE": 60,
    "HTTPONLY": False,
    "SECURE": True,
    "SAMESITE": "Strict",
    "PARTITIONED": True,
}
OPTIONS = CookieOptions("c", "/shop/", ".example.org", False, True, "Strict", True)


def test_options_of_a_named_session_are_its_own() -> None:
    assert CookieOptions.of(Entry("cart", cookie=ATTRIBUTES)) == OPTIONS


def test_options_of_a_named_session_fall_back_to_djangos(settings: Any) -> None:
    settings.SESSION_COOKIE_PATH = "/x/"
    settings.SESSION_COOKIE_DOMAIN = "example.org"
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_SAMESITE = None
    assert CookieOptions.of(Entry("cart")) == CookieOptions("sessionid_cart", "/x/", "example.org", True, True, None)


def test_options_of_the_default_session_are_djangos(settings: Any) -> None:
    settings.SESSION_COOKIE_NAME = "own"
    settings.MULTISESSION = {"default": {"no such key": 1}}  # not ours to validate
    assert cookie_options("default") == CookieOptions("own", "/", None, True, False, "Lax")


def test_options_of_a_session_name_follow_its_entry(settings: Any) -> None:
    settings.MULTISESSION = {"cart": {"ENGINE": "x.y", "COOKIE": ATTRIBUTES}}
    assert cookie_options("cart") == OPTIONS
    settings.MULTISESSION = {"cart": {"ENGINE": "x.y"}}
    assert cookie_options("cart").name == "sessionid_cart"


@pytest.mark.parametrize("age", [60, None])
def test_set_sends_every_attribute(age: int | None) -> None:
    response = HttpResponse()
    OPTIONS.set(response, "value", age)
    cookie = response.cookies["c"]
    assert cookie.value == "value"
    assert cookie["path"] == "/shop/"
    assert cookie["domain"] == ".example.org"
    assert cookie["secure"] is True
    assert not cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["max-age"] == ("" if age is None else age)
    assert bool(cookie["expires"]) is (age is not None)


def test_delete_names_the_same_path_and_domain() -> None:
    response = HttpResponse()
    OPTIONS.delete(response)
    cookie = response.cookies["c"]
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/shop/", ".example.org", "Strict")
    assert cookie["max-age"] == 0


@pytest.mark.parametrize(
    "options",
    [
        CookieOptions("sessionid", "/", None, True, False, "Lax"),
        CookieOptions("c", "/shop/", "example.org", False, True, None),
        CookieOptions("s" * 50, "/a/long/path/", None, True, True, "None"),
    ],
)
@pytest.mark.parametrize("age", [None, 1, 2**32 - 1])
def test_size_is_never_below_what_is_sent(options: CookieOptions, age: int | None) -> None:
    response = HttpResponse()
    value = "x" * 1000
    options.set(response, value, min(age, 10**9) if age else age)
    sent = len(response.cookies[options.name].OutputString().encode())
    assert sent <= options.size(value) <= sent + 80


def test_size_counts_partitioned() -> None:
    unpartitioned = CookieOptions(*OPTIONS[:-1])
    assert OPTIONS.size("x") - unpartitioned.size("x") == len("; Partitioned")


def test_value_that_surely_fits_does_so_beside_the_longest_attributes() -> None:
    name, path, domain = "n" * 100, "/" + "p" * (MAX_ATTRIBUTE - 1), "d" * MAX_ATTRIBUTE
    options = CookieOptions(name, path, domain, True, True, "Strict", True)
    assert options.problems() == []
    assert options.size("v" * SURELY_FITS) <= MAX_SIZE


PREFIXED = CookieOptions("", "/", None, True, True, "Lax")


@pytest.mark.parametrize("prefix", ["__Http-", "__Host-Http-", "__hOST-hTTP-"])
def test_prefix_of_layered_cookies_needs_httponly_and_secure(prefix: str) -> None:
    cookie = PREFIXED._replace(name=f"{prefix}c")
    assert cookie.problems() == []
    assert ["needs HttpOnly" in problem for problem in cookie._replace(httponly=False).problems()] == [True]
    assert ["needs Secure" in problem for problem in cookie._replace(secure=False).problems()] == [True]


@pytest.mark.parametrize("changes", [{"path": "/shop/"}, {"domain": "example.org"}])
def test_prefix_of_layered_cookies_for_a_host_needs_what_that_needs(changes: dict[str, Any]) -> None:
    assert "__Host-" in PREFIXED._replace(name="__Host-Http-c", **changes).problems()[0]
    assert PREFIXED._replace(name="__Http-c", **changes).problems() == []


@pytest.mark.parametrize(("name", "keeps"), [("__Http-c", True), ("__Host-Http-c", True), ("__Host-c", False)])
def test_deletion_has_httponly_where_the_prefix_demands_it(name: str, keeps: bool) -> None:
    response = HttpResponse()
    PREFIXED._replace(name=name).delete(response)
    assert bool(response.cookies[name]["httponly"]) is keeps


@pytest.mark.parametrize(
    ("cookie", "url", "is_sent"),
    [
        ("/", "/", True),
        ("/", "/shop/", True),
        ("/shop/", "/shop/cart", True),
        ("/shop/", "/shop", False),
        ("/shop", "/shop", True),
        ("/shop", "/shop/cart", True),
        ("/shop", "/shopping", False),
        ("/shop/", "/logout/", False),
    ],
)
def test_cookie_is_sent_to_urls_below_its_path(cookie: str, url: str, is_sent: bool) -> None:
    assert PREFIXED._replace(path=cookie).is_sent_to(url) is is_sent
