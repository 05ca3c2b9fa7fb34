"""The measured site under gunicorn or uvicorn: processes on free ports that end with the benchmark."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.http.site import SETTINGS
from django_multisession.testing.servers.base import Server, find_program

ROOT = Path(__file__).resolve().parents[2]


class WebServer(Server[str]):
    """A web server with the site; ``settings`` are a side's own, in Django's words."""

    pages: ClassVar[str]
    """The module with the site's URLs, in the colour of the server."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.environment = site_environment({**settings, "ROOT_URLCONF": self.pages})

    @classmethod
    def available(cls) -> str | None:
        return None if find_spec(cls.name) else f"{cls.name} is not installed"

    @classmethod
    def described(cls) -> str:
        """Return program, version and what it runs on, for the report."""
        raise NotImplementedError

    def arguments(self) -> Sequence[str]:
        """Return the program's arguments, its module's name apart."""
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        # By way of env, for a test server has no environment of its own.
        env = find_program("env")
        assert env
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return [env, *variables, sys.executable, "-m", self.name, *self.arguments()]

    def answers(self) -> bool:
        request = f"GET /none/ HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: close\r\n\r\n"
        return b" 200 " in self.ask(request.encode()).partition(b"\r\n")[0]

    def location_at(self, port: int) -> str:
        return f"http://{self.host}:{port}"

    def version(self) -> str:
        return version(self.name)


class Gunicorn(WebServer):
    """Two synchronous workers, which close the connection after each answer, as these always do."""

    name = "gunicorn"
    pages = "benchmarks.http.site.pages"

    @classmethod
    def described(cls) -> str:
        return f"gunicorn {version('gunicorn')}, 2 sync workers, a connection for each request"

    def arguments(self) -> Sequence[str]:
        serving = ["--bind", f"{self.host}:{self.port}", "--worker-class", "sync", "--workers", "2"]
        # The control socket's place is one for all gunicorns of a user.
        return [*serving, "--no-control-socket", "--log-level", "warning", "django.core.wsgi:get_wsgi_application()"]


class Uvicorn(WebServer):
    """One process, on uvloop and httptools where these are installed."""

    name = "uvicorn"
    pages = "benchmarks.http.site.async_pages"

    @classmethod
    def described(cls) -> str:
        loop = "uvloop" if find_spec("uvloop") else "asyncio"
        parser = "httptools" if find_spec("httptools") else "h11"
        return f"uvicorn {version('uvicorn')}, 1 process, {loop}, {parser}, connections kept open"

    def arguments(self) -> Sequence[str]:
        serving = ["--host", self.host, "--port", str(self.port), "--lifespan", "off"]
        quiet = ["--no-access-log", "--log-level", "warning"]
        return [*serving, *quiet, "--factory", "django.core.asgi:get_asgi_application"]


WEB_SERVERS: Mapping[str, type[WebServer]] = {"gunicorn": Gunicorn, "uvicorn": Uvicorn}


def site_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables with which a process finds the site and these settings of a side."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "DJANGO_SETTINGS_MODULE": "benchmarks.http.site.settings",
        SETTINGS: json.dumps(settings),
    }
