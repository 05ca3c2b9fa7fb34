"""Requests per second under uvicorn, with our redis engine and with Django's cache engine, loaded by wrk in turn."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.contests import cache, sealed
from benchmarks.payload import CHANGED, PAYLOADS, READ, SMALL
from benchmarks.results import Series
from benchmarks.rounds import take_turns
from benchmarks.sides import OURS
from benchmarks.site import VARIABLE
from django_multisession.testing.servers.base import find_program
from django_multisession.testing.servers.redis import RedisServer
from django_multisession.testing.servers.web import UvicornServer

NAME = "redis under uvicorn"
CONNECTIONS = 256
_VISITORS = CONNECTIONS * 2
_SCRIPT = Path(__file__).with_name("visits.lua")
_LONGEST = 15
"""Seconds of a load, at most."""
_PATIENCE = 30
"""Seconds that a server may take to finish what was under way when wrk left."""


class LoadError(Exception):
    """A load that measured something else than right answers."""


def missing() -> str | None:
    """Return what is needed and not there, or None."""
    if not find_program("wrk"):
        return "wrk: not on the PATH"
    return RedisServer.available() or UvicornServer.available()


def measure(rounds: int, answers: int) -> Iterator[Series]:
    """Yield the seconds an answer took, at 256 connections that each get about so many answers in a round."""
    with RedisServer() as redis, ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sites = {name: stack.enter_context(_site(settings)) for name, settings in _sides(redis.location).items()}
        for name, site in sites.items():
            (directory / name).write_text("".join(f"{_cookie_of(site)}\n" for _ in range(_VISITORS)))
        for page in ("read", "change"):
            loads = {name: _load(site, page, directory / name, answers) for name, site in sites.items()}
            for name, values in take_turns(loads, rounds).items():
                yield Series(NAME, page, f"{CONNECTIONS} connections", name, values)


def _sides(location: str) -> Mapping[str, Mapping[str, Any]]:
    return {
        OURS: {
            "MIDDLEWARE": ["django_multisession.middleware.SessionMiddleware"],
            "SESSION_ENGINE": "django_multisession.engines.redis",
            **sealed(location),
        },
        "Django's cache": {
            "MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"],
            "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
            "CACHES": {"default": cache("django.core.cache.backends.redis.RedisCache", location)},
        },
    }


def _site(settings: Mapping[str, Any]) -> UvicornServer:
    return UvicornServer("benchmarks.site", {VARIABLE: json.dumps(settings)})


def _cookie_of(site: UvicornServer) -> str:
    """Return the Cookie header of a visitor who has logged in; LoadError unless the site then knows them."""

    def get(page: str, cookie: str = "") -> tuple[str, str]:
        request = urllib.request.Request(f"{site.location}/{page}/", headers={"Cookie": cookie} if cookie else {})  # noqa: S310 - of our own server
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - of our own server
            return response.read().decode(), response.headers.get("Set-Cookie", "").partition(";")[0]

    _, cookie = get("login")
    data = PAYLOADS[SMALL]
    found, expected = [get(page, cookie)[0] for page in ("read", "change")], [data[READ], str(data[CHANGED] + 1)]
    if found != expected:
        raise LoadError(f"The site answers {found!r} where it should answer {expected!r}.")
    return cookie


def _wait_until_idle(site: UvicornServer) -> None:
    """Wait until a server answers again: what wrk left under way is not the next side's load."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError):  # nothing within the second that a test server's raw connection waits
            if site.answers():
                return
    raise LoadError(f"The site does not answer any more:\n{site.log_tail()}")


def _load(site: UvicornServer, page: str, cookies: Path, answers: int) -> Callable[[], float]:
    """Return a call that loads a page and returns the seconds an answer took."""

    def drive(connections: int, seconds: int) -> float:
        wrk = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command = [*wrk, "--timeout", "20s", "--script", str(_SCRIPT), f"{site.location}/{page}/", "--", str(cookies)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
        if not found.get("requests") or found["errors"]:
            raise LoadError(f"{page} was not answered in good order:\n{done.stdout}{done.stderr}{site.log_tail()}")
        _wait_until_idle(site)
        return float(found["seconds"] / found["requests"])

    probed = drive(32, 3)
    # At the start no answer comes for as long as an answer takes: the same share of the load on both sides.
    seconds = min(_LONGEST, max(2, ceil(answers * CONNECTIONS * probed)))
    return lambda: drive(CONNECTIONS, seconds)
