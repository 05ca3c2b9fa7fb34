"""The site whose servers fail, settings and URLs in one; a run's own settings come from the environment, as JSON."""

from __future__ import annotations

import _socket  # what socket.getaddrinfo() and gevent's resolver ask
import json
import os
import time
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

VARIABLE = "FAULTS_SITE"
HOST = "sessions.test"
"""The name of every server: this process knows its address, unless the resolver hangs."""
RESOLVER = "RESOLVER_HANGS"
"""Setting: the path of a file that is there as long as the resolver hangs."""

SECRET_KEY = "not-a-secret-this-is-a-benchmark"
ROOT_URLCONF = __name__
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.sessions", "django_multisession"]
MIDDLEWARE = ["django_multisession.middleware.SessionMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
_settings: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
globals().update(_settings)

_getaddrinfo = _socket.getaddrinfo


def _resolve(host: Any, *arguments: Any, **more: Any) -> Any:
    if host in (HOST, HOST.encode()):
        if more.get("flags", 0) or (len(arguments) > 4 and arguments[4]):
            return _getaddrinfo(host, *arguments, **more)  # asks whether it is an address
        while Path(_settings[RESOLVER]).exists():
            time.sleep(0.05)
        host = "127.0.0.1"
    return _getaddrinfo(host, *arguments, **more)


_socket.getaddrinfo = _resolve


def _answer(user: object, n: object) -> HttpResponse:
    return HttpResponse(f"{user} {n}")


def none(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no session")


def login(request: HttpRequest) -> HttpResponse:
    request.session["user"] = request.GET["user"]
    return _answer(request.session["user"], 0)


def read(request: HttpRequest) -> HttpResponse:
    return _answer(request.session.get("user"), request.session.get("n", 0))


def count(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session.get("n", 0) + 1
    return read(request)


async def alogin(request: HttpRequest) -> HttpResponse:
    await request.session.aset("user", request.GET["user"])
    return _answer(request.GET["user"], 0)


async def aread(request: HttpRequest) -> HttpResponse:
    return _answer(await request.session.aget("user"), await request.session.aget("n", 0))


async def acount(request: HttpRequest) -> HttpResponse:
    await request.session.aset("n", await request.session.aget("n", 0) + 1)
    return await aread(request)


urlpatterns = [path(f"{view.__name__}/", view) for view in (none, login, read, count, alogin, aread, acount)]
