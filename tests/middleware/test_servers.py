"""The same over the wire: Django's live server for WSGI, uvicorn for ASGI, and the raw Set-Cookie headers."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.test.testcases import LiveServerThread

from django_multisession.testing.drive import either
from tests.middleware.conftest import ENCRYPTED, OURS, SESSIONS, Body, _Views, option, put
from tests.middleware.engine import Switchable

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds


class _WithoutStatic(WSGIHandler):
    def __init__(self, application: object) -> None:
        super().__init__()


@contextmanager
def wsgi_server() -> Iterator[int]:
    """Serve the site by WSGI; yield the port."""
    thread = LiveServerThread(HOST, _WithoutStatic)
    thread.daemon = True
    thread.start()
    assert thread.is_ready.wait(PATIENCE)
    assert thread.error is None
    try:
        yield thread.port
    finally:
        thread.terminate()


@contextmanager
def asgi_server() -> Iterator[int]:
    """Serve the site by ASGI; yield the port."""
    config = uvicorn.Config(ASGIHandler(), HOST, 0, lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + PATIENCE
    while not server.started:
        assert time.monotonic() < ends
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


class Answer:
    """A response as it came over the wire."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.body = response.read()
        self.headers = response.headers
        self.cookies = response.headers.get_all("Set-Cookie") or []

    def sent(self, name: str) -> list[str]:
        return [cookie for cookie in self.cookies if cookie.startswith(f"{name}=")]


class Browser:
    """Sends the cookies that it was given, whatever their path and domain."""

    def __init__(self, port: int, colour: str) -> None:
        self.port = port
        self.colour = colour
        self.jar: dict[str, str] = {}

    def visit(self, body: Body) -> Answer:
        _Views.body = body
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
        try:
            cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
            connection.request("GET", f"/{self.colour}/", headers={"Cookie": cookies} if cookies else {})
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        # Deletions first, for they may be for another place.
        for cookie in sorted(answer.cookies, key=lambda cookie: "Max-Age=0" not in cookie):
            name, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
        return answer


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """Serve the site; return the port and the colour of its views."""
    serve, colour = (wsgi_server, "sync") if request.param == "wsgi" else (asgi_server, "async")
    with override_settings(MIDDLEWARE=[OURS]), serve() as port:
        yield port, colour


@pytest.fixture
def browser(served: tuple[int, str], site: Any) -> Browser:
    return Browser(*served)


def test_each_session_has_its_cookie(browser: Browser) -> None:
    async def view(request: Any) -> None:
        for name in SESSIONS:
            await either(request.sessions[name].update, request.sessions[name].aupdate, {"n": 1})

    answer = browser.visit(view)
    assert answer.status == 200
    assert answer.headers["Vary"] == "Cookie"
    names = sorted(cookie.partition("=")[0] for cookie in answer.cookies)
    assert names == ["sessionid", "sessionid_cart", "sessionid_sealed", "sessionid_second"]


def test_session_lives_from_request_to_request(browser: Browser) -> None:
    async def count(request: Any) -> None:
        await either(
            request.session.update,
            request.session.aupdate,
            {"n": await either(request.session.get, request.session.aget, "n", 0) + 1},
        )

    found: list[int] = []

    async def look(request: Any) -> None:
        found.append(await either(request.session.get, request.session.aget, "n"))

    for _ in range(3):
        browser.visit(count)
    browser.visit(look)
    assert found == [3]


OPTIONS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"path": "/shop/"}, ["; Path=/shop/"], []),
    ({"domain": "example.org"}, ["; Domain=example.org"], []),
    ({"max_age": 77}, ["; Max-Age=77", "; expires="], []),
    ({"max_age": 0}, [], ["Max-Age", "expires"]),
    ({"httponly": False}, [], ["HttpOnly"]),
    ({"secure": True}, ["; Secure"], []),
    ({"samesite": "Strict"}, ["; SameSite=Strict"], []),
    ({"samesite": "None", "secure": True, "partitioned": True}, ["; SameSite=None", "; Secure", "; Partitioned"], []),
]


@pytest.mark.parametrize(("options", "there", "absent"), OPTIONS)
@pytest.mark.parametrize("name", ["default", "cart"])
def test_option_is_on_the_wire(
    browser: Browser, name: str, options: dict[str, Any], there: list[str], absent: list[str]
) -> None:
    (cookie,) = browser.visit(option(name, **options)).cookies
    assert all(attribute in cookie for attribute in there), cookie
    assert not any(attribute in cookie for attribute in absent), cookie


@pytest.mark.parametrize("name", ["default", "cart"])
def test_cookie_that_moves_is_deleted_at_its_old_place(browser: Browser, name: str) -> None:
    browser.visit(put(name, n=1))
    answer = browser.visit(option(name, path="/shop/"))
    gone, here = answer.cookies
    assert gone.partition("=")[0] == here.partition("=")[0]
    assert "; Max-Age=0" in gone
    assert "; Path=/;" in gone
    assert "; Path=/shop/" in here
    assert len(browser.jar) == 1


def test_deletion_repeats_the_attributes(browser: Browser) -> None:
    browser.visit(option(path="/shop/", samesite="None", secure=True, partitioned=True, domain="example.org"))

    async def flush(request: Any) -> None:
        await either(request.session.flush, request.session.aflush)

    (cookie,) = browser.visit(flush).cookies
    for attribute in ("Max-Age=0", "Path=/shop/", "SameSite=None", "Secure", "Partitioned", "Domain=example.org"):
        assert f"; {attribute}" in cookie
    assert browser.jar == {}


def test_chunks_grow_and_shrink(browser: Browser, site: Any) -> None:
    site.MULTISESSION = {"big": {"ENGINE": ENCRYPTED, "CHUNKS": 4}}
    for size, chunks in ((100, 1), (7000, 3), (4000, 2), (10, 1)):
        answer = browser.visit(put("big", n="x" * size))
        assert len(browser.jar) == chunks
        assert all(len(cookie) <= 4096 for cookie in answer.cookies)


def test_outage_is_503_with_the_cookies_of_others(browser: Browser) -> None:
    browser.visit(put(n=1))

    async def view(request: Any) -> None:
        await put("cart", n=1)(request)
        await put(n=2)(request)
        Switchable.go_down()

    answer = browser.visit(view)
    assert answer.status == 503
    assert "no-store" in answer.headers["Cache-Control"]
    assert b"Back in a moment" in answer.body
    assert [cookie.partition("=")[0] for cookie in answer.cookies] == ["sessionid_cart"]


def test_untouched_session_is_not_on_the_wire(browser: Browser) -> None:
    async def nothing(request: Any) -> None: ...

    browser.visit(put(n=1))
    Switchable.calls.clear()
    answer = browser.visit(nothing)
    assert answer.cookies == []
    assert "Vary" not in answer.headers
    assert Switchable.calls == []
