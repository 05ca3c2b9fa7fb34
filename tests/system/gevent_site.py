"""A site for gunicorn's gevent workers, whose views keep the hub from everybody else.

Settings and URLs in one module; the test's own settings come in the variable SETTINGS, as JSON.
"""

from __future__ import annotations

import json
import os
import time
from typing import cast

import gevent
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_multisession.bridge import run_sync
from django_multisession.sessions.server import ServerSession

SETTINGS = "GEVENT_SITE"

SECRET_KEY = "a site of the tests"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.sessions", "django_multisession"]
MIDDLEWARE = ["django_multisession.middleware.SessionMiddleware"]
ROOT_URLCONF = __name__
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
globals().update(json.loads(os.environ.get(SETTINGS, "{}")))


def burn(seconds: float) -> None:
    """Keep the thread, and with it the hub, busy."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sum(range(1000))


def none(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no session")


def count(request: HttpRequest) -> HttpResponse:
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse(str(request.session["n"]))


def busy(request: HttpRequest) -> HttpResponse:
    """Do without the hub for as long as the query says."""
    burn(float(request.GET["seconds"]))
    return HttpResponse("done")


def late(request: HttpRequest) -> HttpResponse:
    """Read the session while another greenlet keeps the hub for longer than an answer may take."""
    gevent.spawn(burn, float(request.GET["seconds"]))
    return HttpResponse(str(request.session.get("n")))


def probe(request: HttpRequest) -> HttpResponse:
    """Probe the server as the breaker does, while another greenlet keeps the hub; say why it failed, or None."""
    store = cast(type[ServerSession], type(request.session)).records().store
    gevent.spawn(burn, float(request.GET["seconds"]))
    return HttpResponse(str(run_sync(store._probe(None))))


urlpatterns = [path(f"{view.__name__}/", view) for view in (none, count, busy, late, probe)]
