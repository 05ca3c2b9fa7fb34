"""What the middleware costs: nothing where no session is touched, and no threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from http.cookies import SimpleCookie
from types import FrameType
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.test import AsyncRequestFactory

from django_multisession.testing.servers.redis import RedisServer
from tests.middleware.conftest import OURS, Visitor, _Views, put
from tests.middleware.engine import Switchable

CONCURRENT = 200


def test_request_that_touches_no_session_asks_no_store(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    Switchable.calls.clear()

    async def view(request: Any) -> None:
        assert request.COOKIES

    visitor.visit(view)
    assert Switchable.calls == []


class Hops:
    """Who called sync_to_async, how often the loop was left, and how many threads there were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        self.callers: list[str] = []
        self.hops = 0
        self.threads = 0
        wrap, hop = SyncToAsync.__init__, loop.run_in_executor

        def wrapping(instance: Any, *args: Any, **kwargs: Any) -> None:
            self.callers.append(_caller(sys._getframe(1)))
            wrap(instance, *args, **kwargs)

        def hopping(*args: Any) -> Any:
            self.hops += 1
            return hop(*args)

        monkeypatch.setattr(SyncToAsync, "__init__", wrapping)
        monkeypatch.setattr(loop, "run_in_executor", hopping)

    def look(self) -> None:
        self.threads = max(self.threads, threading.active_count())


def _caller(frame: FrameType | None) -> str:
    while frame is not None and frame.f_globals["__name__"].startswith("asgiref"):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals["__name__"])


def test_concurrent_async_requests_leave_the_loop_as_little_as_without_us(
    site: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.SESSION_ENGINE = "django_multisession.engines.redis"
    site.MULTISESSION = {"default": {"LOCATION": redis_server.location, "TIMEOUT": 20.0}}

    async def serve(hops: Hops, cookies: list[str]) -> list[str]:
        handler = ASGIHandler()

        async def one(cookie: str) -> str:
            factory = AsyncRequestFactory()
            if cookie:
                factory.cookies = SimpleCookie({"sessionid": cookie})
            response = await handler.get_response_async(factory.get("/async/"))
            assert response.status_code == 200
            hops.look()
            morsel = response.cookies.get("sessionid")
            return morsel.value if morsel else ""

        return await asyncio.gather(*(one(cookie) for cookie in cookies))

    def measured(middleware: list[str]) -> tuple[Hops, set[str]]:
        site.MIDDLEWARE = middleware
        with asyncio.Runner() as runner, monkeypatch.context() as patch:
            hops = Hops(patch, runner.get_loop())

            async def view(request: Any) -> HttpResponse:
                if middleware:
                    await request.session.aset("n", await request.session.aget("n", 0) + 1)
                hops.look()
                return HttpResponse()

            _Views.body = view
            keys = runner.run(serve(hops, [""] * CONCURRENT))
            return hops, set(runner.run(serve(hops, keys)))

    without, _ = measured([])
    ours, keys = measured([OURS])
    assert len(keys) == CONCURRENT
    assert ours.callers == without.callers
    assert not [caller for caller in ours.callers if caller.startswith("django_multisession")]
    assert ours.hops == without.hops
    assert ours.threads <= without.threads
