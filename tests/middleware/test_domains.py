"""The domain of a session's cookie: settings that change at run time, and functions of the request."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_multisession.checks import check_settings
from django_multisession.testing.drive import either
from tests.middleware.conftest import ENCRYPTED, SERVER, SIGNED, Visitor, change, put
from tests.middleware.test_options import headers

PATH = f"{__name__}:domain_of_host"
HOSTS = {"a.example.org": "example.org", "b.example.net": "example.net", "alone.test": ""}


def domain_of_host(request: Any) -> str | None:
    """Return the host without its first label, None where that is the top."""
    rest = str(request.get_host()).partition(".")[2]
    return rest if "." in rest else None


def whatever_came(request: Any) -> str:
    return str(request.GET["domain"])


class AssignsTheDomain:
    """A project's middleware that sets Django's setting for each request."""

    sync_capable = async_capable = True

    def __new__(cls, get_response: Any) -> Any:
        if iscoroutinefunction(get_response):

            async def amiddleware(request: Any) -> Any:
                settings.SESSION_COOKIE_DOMAIN = domain_of_host(request)
                return await get_response(request)

            return amiddleware

        def middleware(request: Any) -> Any:
            settings.SESSION_COOKIE_DOMAIN = domain_of_host(request)
            return get_response(request)

        return middleware


@pytest.fixture(params=[SERVER, SIGNED, ENCRYPTED], ids=["server", "signed", "encrypted"])
def engine(request: pytest.FixtureRequest, site: Any) -> str:
    # The asynchronous test client adds to its own Host header.
    site.ALLOWED_HOSTS, site.USE_X_FORWARDED_HOST = ["*"], True
    site.SESSION_ENGINE = request.param
    site.MULTISESSION = {"named": {"ENGINE": site.SESSION_ENGINE}}
    return str(request.param)


@pytest.fixture(params=["path", "function"])
def by_function(request: pytest.FixtureRequest, site: Any, engine: str) -> None:
    domain = PATH if request.param == "path" else domain_of_host
    chunks = {} if engine == SERVER else {"CHUNKS": 4}
    site.SESSION_COOKIE_DOMAIN = PATH
    site.MULTISESSION = {"default": chunks, "named": {"ENGINE": engine, "COOKIE": {"DOMAIN": domain}, **chunks}}


def domains(response: Any, cookie: str) -> set[str]:
    return {found.get("domain", "") for found in headers(response, cookie)}


COOKIES = {"default": "sessionid", "named": "sessionid_named"}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.usefixtures("engine")
def test_domain_that_a_middleware_assigns_holds_for_its_request(visitor: Visitor, site: Any, name: str) -> None:
    site.SESSION_COOKIE_DOMAIN = None  # put back after the test
    site.MIDDLEWARE = [*site.MIDDLEWARE, f"{__name__}.AssignsTheDomain"]
    visitor.new_client()
    for host, domain in HOSTS.items():
        visitor.client.cookies.clear()
        response = visitor.visit(put(name, n=1), headers={"x-forwarded-host": host})
        assert domains(response, COOKIES[name]) == {domain}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.usefixtures("engine")
def test_setting_that_is_patched_is_honoured(visitor: Visitor, name: str) -> None:
    assert domains(visitor.visit(put(name, n=1)), COOKIES[name]) == {""}
    with mock.patch.object(settings, "SESSION_COOKIE_DOMAIN", "patched.example"):
        assert domains(visitor.visit(put(name, n=2)), COOKIES[name]) == {"patched.example"}
    assert domains(visitor.visit(put(name, n=3)), COOKIES[name]) == {""}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.usefixtures("by_function")
def test_domain_by_a_function_is_that_of_the_host(visitor: Visitor, name: str) -> None:
    for host, domain in HOSTS.items():
        visitor.client.cookies.clear()
        response = visitor.visit(put(name, n=1), headers={"x-forwarded-host": host})
        assert domains(response, COOKIES[name]) == {domain}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.usefixtures("by_function")
def test_deletion_names_the_domain_of_the_host(visitor: Visitor, name: str) -> None:
    async def flush(request: Any) -> None:
        await either(request.sessions[name].flush, request.sessions[name].aflush)

    for host, domain in HOSTS.items():
        visitor.visit(put(name, n=1), headers={"x-forwarded-host": host})
        response = visitor.visit(flush, headers={"x-forwarded-host": host})
        assert response.cookies[COOKIES[name]]["max-age"] == 0
        assert domains(response, COOKIES[name]) == {domain}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.usefixtures("by_function")
def test_option_at_request_time_goes_before_the_function(visitor: Visitor, name: str) -> None:
    async def view(request: Any) -> None:
        await either(request.sessions[name].setdefault, request.sessions[name].asetdefault, "n", 1)
        await change(request.sessions[name], domain="other.example.org")

    response = visitor.visit(view, headers={"x-forwarded-host": "a.example.org"})
    assert domains(response, COOKIES[name]) == {"other.example.org"}


@pytest.mark.parametrize("name", COOKIES)
@pytest.mark.parametrize("engine", [SIGNED, ENCRYPTED], indirect=True)
@pytest.mark.usefixtures("by_function")
def test_chunks_have_the_domain_of_the_host_and_fit(visitor: Visitor, name: str) -> None:
    cookie = COOKIES[name]
    for host, domain in HOSTS.items():
        visitor.client.cookies.clear()
        response = visitor.visit(put(name, text=os.urandom(3000).hex()), headers={"x-forwarded-host": host})
        chunks = [morsel for morsel in response.cookies.values() if morsel.key.startswith(cookie)]
        assert len(chunks) > 1
        assert {morsel["domain"] for morsel in chunks} == {domain}
        assert all(len(morsel.OutputString()) <= 4096 for morsel in chunks)
        gone = visitor.visit(put(name, text=""), headers={"x-forwarded-host": host})
        assert domains(gone, f"{cookie}.1") == {domain}


@pytest.mark.parametrize("sent", ["a;b", "a\r\nX: y", "", "a b", "a/b"])
@pytest.mark.usefixtures("engine")
def test_answer_that_is_no_domain_is_refused(visitor: Visitor, site: Any, sent: str) -> None:
    site.SESSION_COOKIE_DOMAIN = f"{__name__}:whatever_came"
    with pytest.raises(ImproperlyConfigured, match=r"whatever_came.*must return a domain"):
        visitor.visit(put(n=1), query_params={"domain": sent})


@pytest.mark.parametrize("path", ["tests.nowhere:domain", f"{__name__}:nothing", f"{__name__}:HOSTS", "a:", ":"])
def test_path_that_leads_to_no_function_is_found_by_the_check(site: Any, path: str) -> None:
    site.MULTISESSION = {"named": {"ENGINE": SIGNED, "COOKIE": {"DOMAIN": path}}}
    (problem,) = [found for found in check_settings() if found.id == "multisession.E008"]
    assert repr(path) in problem.msg
    assert "module:function" in problem.msg
