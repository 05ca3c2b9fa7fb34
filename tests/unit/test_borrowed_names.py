"""Names of other packages that are not documented, and why each is borrowed: all of them are here.

Each must exist at the installed version; pyproject.toml bounds the versions to those that were tried.
"""

from __future__ import annotations

from importlib import import_module

import pytest
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import RequestFactory
from django.utils.log import log_response

BORROWED = {
    "django": [
        ("django.db.models:QuerySet._raw_delete", "delete() opens a transaction: three round trips instead of one"),
        ("django.db.models.sql:InsertQuery", "bulk_create() opens one too, and does not tell whether it inserted"),
        ("django.db.models.constants:OnConflict", "the same"),
        ("django.db.backends.base.base:BaseDatabaseWrapper.close_if_unusable_or_obsolete", "a second attempt needs it"),
        ("django.db.backends.base.base:BaseDatabaseWrapper.copy", "a probe needs a connection of its own"),
        (
            "django.db.backends.postgresql.base:DatabaseWrapper.get_connection_params",
            "our connections go where Django's go",
        ),
        ("django.core.cache.backends.redis:RedisCache._cache", "no method of a cache tells how long a value lives"),
        ("django.core.cache.backends.redis:RedisCacheClient.get_client", "the same"),
        ("django.core.cache.backends.memcached:BaseMemcachedCache._cache", "the same"),
        ("django.core.cache.backends.filebased:FileBasedCache._key_to_file", "the same"),
        ("django.apps.registry:Apps", "the same of a table, whose model must stay out of the project's registry"),
    ],
    "asyncio": [
        ("asyncio.events:_get_running_loop", "get_running_loop() raises where there is none, which costs each call"),
    ],
    "http": [
        ("http.cookies:Morsel._reserved", "Python before 3.14 refuses cookies that are Partitioned"),
        ("http.cookies:Morsel._flags", "the same"),
    ],
    "redis": [
        ("redis.connection:Connection._connect", "makes the socket, which is bounded as a whole"),
        ("redis.connection:SSLConnection._connect", "the same over TLS"),
        ("redis.connection:UnixDomainSocketConnection._connect", "the same over a local socket"),
    ],
}


@pytest.mark.parametrize("name", [name for names in BORROWED.values() for name, _ in names])
def test_borrowed_name_is_there(name: str) -> None:
    module, _, path = name.partition(":")
    found = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)


def test_csrf_middleware_notes_what_it_has_passed() -> None:
    """http/outage_logout.py looks for it: another site cannot have sent that request."""
    request = RequestFactory().get("/")
    CsrfViewMiddleware(lambda _: HttpResponse()).process_view(request, lambda _: HttpResponse(), (), {})
    assert getattr(request, "csrf_processing_done", False)


def test_response_that_was_logged_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    """http/unavailable.py says so of its page: an outage is logged once, and not with each request."""
    response = HttpResponse(status=503)
    response._has_been_logged = True  # type: ignore[attr-defined]  # what is borrowed
    log_response("Service Unavailable", response=response, request=RequestFactory().get("/"))
    assert caplog.records == []
