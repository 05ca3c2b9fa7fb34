"""A new secret is rolled out over two processes, one after the other, and nobody is logged out."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from django_multisession.middleware import SessionMiddleware as OurSessionMiddleware
from django_multisession.testing.servers.redis import RedisServer
from tests.processes import call_with_django, fresh_processes

ENGINE = "django_multisession.engines.redis"
OLD, NEW = "fake old secret", "fake new secret"
MIDDLEWARES = [SessionMiddleware, OurSessionMiddleware]
Answer = tuple[dict[str, Any], str | None, int | None]


def request(middleware: type[SessionMiddleware], cookie: str | None, **changes: Any) -> Answer:
    """Serve one request; return what its session held, and value and Max-Age of the cookie sent, None without one."""
    held: dict[str, Any] = {}

    def view(request: HttpRequest) -> HttpResponse:
        held.update(request.session.items())
        for key, value in changes.items():
            request.session[key] = value
        return HttpResponse()

    incoming = RequestFactory().get("/")
    if cookie:
        incoming.COOKIES["sessionid"] = cookie
    response: Any = middleware(view)(incoming)
    sent = response.cookies.get("sessionid")
    return held, sent and sent.value, sent and sent["max-age"]


def knowing(secret: str, fallbacks: list[str], location: str) -> override_settings:
    """Return the settings of a process that writes with secret and reads with all."""
    return override_settings(
        SECRET_KEY=secret,
        SECRET_KEY_FALLBACKS=fallbacks,
        SESSION_ENGINE=ENGINE,
        MULTISESSION={"default": {"LOCATION": location, "TIMEOUT": 20.0}},
    )


def serve(location: str, fallbacks: list[str], connection: Connection) -> None:
    """Answer requests in a process that writes with the old secret."""
    with knowing(OLD, fallbacks, location):
        while (asked := connection.recv()) is not None:
            middleware, cookie, changes = asked
            connection.send(request(MIDDLEWARES[middleware], cookie, **changes))


class OldProcess:
    """The process that was not restarted yet."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def request(self, middleware: type[SessionMiddleware], cookie: str | None, **changes: Any) -> Answer:
        self._connection.send((MIDDLEWARES.index(middleware), cookie, changes))
        assert self._connection.poll(30), "The old process does not answer."
        answer: Answer = self._connection.recv()
        return answer


@pytest.fixture
def old_process(redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[OldProcess]:
    """Start a process that knows the old secret, and the fallbacks of an indirect parameter."""
    context = fresh_processes()
    ours, theirs = context.Pipe()
    call = (__name__, serve.__name__, redis_server.location, getattr(request, "param", []), theirs)
    process = context.Process(target=call_with_django, args=call)
    process.start()
    theirs.close()
    with ours:
        yield OldProcess(ours)
        ours.send(None)
        process.join(30)
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("middleware", MIDDLEWARES, ids=["django", "ours"])
def test_rolling_change_of_the_secret_over_two_processes_logs_nobody_out(
    old_process: OldProcess, redis_server: RedisServer, middleware: type[SessionMiddleware]
) -> None:
    _, cookie, _ = old_process.request(middleware, None, user=1)
    with knowing(NEW, [OLD], redis_server.location):
        assert request(middleware, cookie) == ({"user": 1}, None, None)
        assert old_process.request(middleware, cookie) == ({"user": 1}, None, None)
        # Written under the new secret, it cannot be read by the old process, which leaves record and cookie alone.
        assert request(middleware, cookie, cart=2)[0] == {"user": 1}
        assert old_process.request(middleware, cookie) == ({}, None, None)
        assert request(middleware, cookie) == ({"user": 1, "cart": 2}, None, None)
    with knowing(NEW, [], redis_server.location):
        assert request(middleware, cookie) == ({"user": 1, "cart": 2}, None, None)


@pytest.mark.parametrize("old_process", [[NEW]], indirect=True, ids=["known beforehand"])
@pytest.mark.parametrize("middleware", MIDDLEWARES, ids=["django", "ours"])
def test_secret_that_was_a_fallback_first_is_read_by_both_processes(
    old_process: OldProcess, redis_server: RedisServer, middleware: type[SessionMiddleware]
) -> None:
    _, cookie, _ = old_process.request(middleware, None, user=1)
    with knowing(NEW, [OLD], redis_server.location):
        assert request(middleware, cookie, cart=2)[0] == {"user": 1}
        assert old_process.request(middleware, cookie, seen=3)[0] == {"user": 1, "cart": 2}
        assert request(middleware, cookie) == ({"user": 1, "cart": 2, "seen": 3}, None, None)
