"""Sessions of WebSocket consumers, for Channels: ``scope["session"]``, and ``scope["sessions"]`` with the named ones.

The handshake is a request with cookies: its sessions are loaded before the consumer runs, so that reading them does no
I/O. Changes are saved when the consumer accepts, with the cookies in that message, and again when the connection ends,
when no cookie can be sent any more. An outage refuses the handshake, or closes the connection, with code 1013 ("try
again later"), and is logged once, as for pages.

This needs nothing of Channels itself: it wraps any ASGI application.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any, Final, cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from .breaker import report
from .conf import DEFAULT, names
from .exceptions import StoreUnavailable
from .http.finish import finish
from .http.ownership import follow_logins
from .http.sessions import Sessions, open_session
from .http.unavailable import log_once
from .sessions.base import MultisessionBase
from .sessions.turn import preload

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[Any]]

TRY_AGAIN_LATER: Final = 1013
"""The close code of an outage (IANA's registry of WebSocket close codes)."""


class SessionMiddleware:
    """Takes the place of channels.sessions.SessionMiddlewareStack; passes scopes other than "websocket" through."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner
        log_once()
        follow_logins()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Any:
        if scope["type"] != "websocket":
            return await self.inner(scope, receive, send)
        return await _Connection(scope, send).serve(self.inner, receive)


class _Connection:
    """One WebSocket, with its handshake as a request."""

    def __init__(self, scope: MutableMapping[str, Any], send: Send) -> None:
        self._send = send
        self._is_closed = False
        self._request = cast(Any, ASGIRequest({**scope, "method": "GET"}, BytesIO()))
        self._request.session = open_session(self._request, DEFAULT)
        self._request.sessions = self._sessions = Sessions(self._request)
        self._scope = {
            **scope,
            "cookies": self._request.COOKIES,
            "session": self._request.session,
            "sessions": self._sessions,
        }

    async def serve(self, inner: Application, receive: Receive) -> Any:
        """Run the consumer; close the connection if it meets an outage."""
        try:
            await self._preload()
        except StoreUnavailable as error:
            await receive()  # websocket.connect, which must be received before an answer is sent
            await self._refuse(error)
            return None

        async def take() -> Message:
            message = await receive()
            self._is_closed = self._is_closed or message["type"] == "websocket.disconnect"
            return message

        try:
            result = await inner(self._scope, take, self._answer)
            await self._save()
        except StoreUnavailable as error:
            await self._abandon()
            await self._refuse(error)
            return None
        except BaseException:
            await self._abandon()
            raise
        return result

    async def _preload(self) -> None:
        for name in names():
            session = self._sessions[name]
            if isinstance(session, MultisessionBase) and session.session_key is not None:
                await preload(session)

    async def _answer(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            response = await self._save()
            cookies = [(b"set-cookie", morsel.OutputString().encode("latin-1")) for morsel in response.cookies.values()]
            message = {**message, "headers": [*message.get("headers", ()), *cookies]}
            self._request.is_answered = True  # from now on the browser cannot get another key
        elif message["type"] == "websocket.close":
            await self._save()
            self._is_closed = True
        if not (self._is_closed and message["type"] != "websocket.close"):
            await self._send(message)

    async def _save(self) -> Any:
        """Save what was changed; return a response with its cookies. StoreUnavailable if that fails."""
        response = await finish(self._request, HttpResponse(), self._sessions.opened())
        sessions = [session for session in self._sessions.opened() if isinstance(session, MultisessionBase)]
        outage = next((session.outage for session in sessions if session.outage is not None), None)
        if response.status_code >= 500 and outage is not None:
            raise outage
        for session in sessions:
            session.modified = False
            session.brought_key = session.session_key
        return response

    async def _abandon(self) -> None:
        """Leave the sessions as the last save has left them, as for a page that fails."""
        await finish(self._request, HttpResponse(status=500), self._sessions.opened())

    async def _refuse(self, error: StoreUnavailable) -> None:
        report(error)
        if not self._is_closed:
            self._is_closed = True
            await self._send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
