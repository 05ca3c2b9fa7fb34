"""The site that is loaded over HTTP, both settings and URLs; each side's own settings come from the environment."""

from __future__ import annotations

import json
import os

from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.payload import CHANGED, PAYLOADS, READ, SMALL

VARIABLE = "BENCHMARK_SITE"
SECRET_KEY = "not-a-secret-this-is-a-benchmark"
ROOT_URLCONF = __name__
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.sessions", "django_multisession"]
USE_TZ = True
# Django keeps the errors of a site without DEBUG to itself; here they explain a failed run.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
globals().update(json.loads(os.environ.get(VARIABLE, "{}")))


def _answer(value: object) -> HttpResponse:
    # With its length, as CommonMiddleware sets it, or else it would be sent in chunks.
    return HttpResponse(text := str(value), headers={"Content-Length": str(len(text))})


async def login(request: HttpRequest) -> HttpResponse:
    await request.session.aupdate(dict(PAYLOADS[SMALL]))
    return _answer("logged in")


async def read(request: HttpRequest) -> HttpResponse:
    return _answer(await request.session.aget(READ))


async def change(request: HttpRequest) -> HttpResponse:
    visits = await request.session.aget(CHANGED, 0) + 1
    await request.session.aset(CHANGED, visits)
    return _answer(visits)


urlpatterns = [path(f"{view.__name__}/", view) for view in (login, read, change)]
