"""Sessions of WebSocket consumers, through Channels' own test client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any, cast

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.testing.websocket import WebsocketCommunicator

from django_multisession.channels import SessionMiddleware
from django_multisession.sessions.loading import session_class
from tests.logins.site import Users
from tests.middleware.engine import Switchable

Script = Callable[[WebsocketCommunicator], Awaitable[Any]]


@pytest.fixture(autouse=True)
def _connections_closed(django_db_blocker: Any) -> Iterator[None]:
    """Let Channels close what other tests have left open: it asks a connection whether it is usable."""
    with django_db_blocker.unblock():
        yield


class Echo(AsyncWebsocketConsumer):
    """Answers "name key" with the value; "name key value" is assigned."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        name, key, *value = (text_data or "").split()
        session = cast(Any, self.scope)["sessions"][name]
        if value:
            await session.aset(key, value[0])
        await self.send(str(await session.aget(key)))


class Counting(AsyncWebsocketConsumer):
    """Counts its handshakes in every session."""

    async def connect(self) -> None:
        for session in cast(Any, self.scope)["sessions"].values():
            await session.aset("n", await session.aget("n", 0) + 1)
        assert self.scope["session"] is cast(Any, self.scope)["sessions"]["default"]
        await self.accept()


class Reading(WebsocketConsumer):
    """Reads on a thread."""

    def connect(self) -> None:
        self.accept()
        self.send(str(self.scope["session"]["a"]))


def cookie_of(**data: Any) -> bytes:
    """Return the Cookie header of a visitor with these default sessions."""
    session = session_class("default")()
    session.update(data)
    session.save()
    return f"sessionid={session.session_key}".encode()


def talk(consumer: Any, script: Script, cookie: bytes = b"") -> Any:
    """Run script with a connection to a consumer."""

    async def run() -> Any:
        headers = [(b"cookie", cookie)] if cookie else []
        connection = WebsocketCommunicator(SessionMiddleware(consumer.as_asgi()), "/", headers)
        try:
            return await script(connection)
        finally:
            await connection.wait(20)

    return asyncio.run(run())


async def handshake(connection: WebsocketCommunicator) -> SimpleCookie:
    """Open a connection; return the cookies that came with it."""
    await connection.send_input({"type": "websocket.connect"})
    answer = await connection.receive_output(20)
    assert answer["type"] == "websocket.accept"
    jar = SimpleCookie()
    for name, value in answer["headers"]:
        assert name == b"set-cookie"
        jar.load(value.decode())
    await connection.disconnect()
    return jar


@pytest.mark.usefixtures("site")
def test_sessions_whose_cookies_came_are_loaded_before_the_consumer_runs() -> None:
    cookie = cookie_of(a=1)

    async def script(connection: WebsocketCommunicator) -> None:
        assert (await connection.connect(20))[0]
        assert Switchable.calls == ["read"]
        assert await connection.receive_from(20) == "1"
        await connection.disconnect()

    Switchable.calls.clear()
    talk(Reading, script, cookie)
    assert Switchable.calls == ["read"]


@pytest.mark.usefixtures("site")
def test_what_was_changed_is_saved_and_sent_with_the_handshake() -> None:
    jar = talk(Counting, handshake)
    assert jar.keys() >= {"sessionid", "sessionid_second", "sessionid_cart", "sessionid_sealed"}
    assert jar["sessionid"]["httponly"]
    cookies = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in jar.items()).encode()
    again = talk(Counting, handshake, cookies)
    for name in ("default", "second", "cart", "sealed"):
        cookie = "sessionid" if name == "default" else f"sessionid_{name}"
        # The key of a session on a server stays; a cookie's content is its key.
        value = (again.get(cookie) or jar[cookie]).value
        assert session_class(name)(value)["n"] == 2


@pytest.mark.usefixtures("site")
def test_what_was_changed_later_is_saved_at_the_end() -> None:
    cookie = cookie_of(a=1)

    async def script(connection: WebsocketCommunicator) -> None:
        assert (await connection.connect(20))[0]
        await connection.send_to("default a 2")
        assert await connection.receive_from(20) == "2"
        await connection.disconnect()

    talk(Echo, script, cookie)
    assert session_class("default")(cookie.decode().partition("=")[2])["a"] == "2"


@pytest.mark.usefixtures("site")
def test_basket_that_becomes_a_users_keeps_its_key_once_the_browser_cannot_be_told_of_another(
    settings: Any,
) -> None:
    settings.AUTHENTICATION_BACKENDS = [backend := f"{Users.__module__}.{Users.__qualname__}"]
    login = {
        "_auth_user_id": "1",
        "_auth_user_backend": backend,
        "_auth_user_hash": Users().get_user(1).get_session_auth_hash(),
    }
    basket = session_class("second")()
    basket.update({"a": 1})
    basket.save()

    async def script(connection: WebsocketCommunicator) -> None:
        assert (await connection.connect(20))[0]
        await connection.send_to("second a 2")
        assert await connection.receive_from(20) == "2"
        await connection.disconnect()

    talk(Echo, script, cookie_of(**login) + f"; sessionid_second={basket.session_key}".encode())
    assert session_class("second")(basket.session_key)["a"] == "2"


@pytest.mark.usefixtures("site")
def test_outage_refuses_the_handshake_with_1013_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    cookie = cookie_of(a=1)
    Switchable.go_down()
    try:
        for _ in range(5):
            with caplog.at_level(logging.INFO):
                assert talk(Reading, lambda connection: connection.connect(20), cookie) == (False, 1013)
    finally:
        Switchable.come_back()
    assert len([record for record in caplog.records if "switchable" in record.getMessage()]) == 1
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.usefixtures("site")
def test_outage_that_a_consumer_meets_closes_the_connection_with_1013() -> None:
    async def script(connection: WebsocketCommunicator) -> Any:
        Switchable.go_down()
        try:
            return await connection.connect(20)
        finally:
            Switchable.come_back()

    assert talk(Counting, script) == (False, 1013)


@pytest.mark.usefixtures("site")
def test_consumer_that_fails_saves_nothing() -> None:
    cookie = cookie_of(n=1)

    class Failing(Counting):
        async def accept(self, *args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError

    async def script(connection: WebsocketCommunicator) -> None:
        await connection.send_input({"type": "websocket.connect"})

    with pytest.raises(ZeroDivisionError):
        talk(Failing, script, cookie)
    assert session_class("default")(cookie.decode().partition("=")[2])["n"] == 1


@pytest.mark.usefixtures("site")
def test_other_protocols_pass_by() -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {"type": "http"}
    asyncio.run(SessionMiddleware(inner)(scope, None, None))  # type: ignore[arg-type]  # what is not asked for
    assert seen == [scope]
