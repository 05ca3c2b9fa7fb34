"""A Django project behind a web server, as its visitors meet it."""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from django_multisession.testing.servers.base import Server

_ROOT = Path(__file__).resolve().parents[3]


class WebServer(Server[str]):
    """A web server; ``settings`` is the dotted path of the project's, ``variables`` go to its environment."""

    name = "web"
    packages: ClassVar[Sequence[str]] = ()

    def __init__(self, settings: str, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._variables = {**variables, "DJANGO_SETTINGS_MODULE": settings}

    @classmethod
    def available(cls) -> str | None:
        return next((f"{name}: not installed" for name in cls.packages if not find_spec(name)), None)

    @abstractmethod
    def program(self) -> Sequence[str]:
        """Return the module to run, and its arguments."""

    def command(self) -> Sequence[str]:
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        variables = {"PYTHONPATH": path, **self._variables}
        # By way of env, for a test server has no environment of its own.
        return ["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m", *self.program()]

    def answers(self) -> bool:
        # Any answer will do.
        return self.ask(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1")

    def location_at(self, port: int) -> str:
        return f"http://{self.host}:{port}"

    def version(self) -> str:
        return version(self.packages[0])


class UvicornServer(WebServer):
    """uvicorn, one process."""

    name = "uvicorn"
    packages = ("uvicorn",)

    def program(self) -> Sequence[str]:
        serving = ["--host", self.host, "--port", str(self.port), "--lifespan", "off", "--no-access-log"]
        return ["uvicorn", "--factory", "django.core.asgi:get_asgi_application", *serving, "--log-level", "warning"]


class GunicornServer(WebServer):
    """gunicorn with four workers, one that has eight threads, or one with a gevent hub, by subclass."""

    packages: ClassVar[Sequence[str]] = ("gunicorn",)
    workers: ClassVar[Sequence[str]] = ()

    def program(self) -> Sequence[str]:
        serving = ["--bind", f"{self.host}:{self.port}", "--worker-class", self.name, *self.workers]
        quiet = ["--no-control-socket", "--log-level", "warning"]
        return ["gunicorn", *serving, *quiet, "django.core.wsgi:get_wsgi_application()"]


class SyncServer(GunicornServer):
    name = "sync"
    workers = ("--workers", "4")


class ThreadsServer(GunicornServer):
    name = "gthread"
    workers = ("--workers", "1", "--threads", "8")


class GeventServer(GunicornServer):
    name = "gevent"
    packages = ("gunicorn", "gevent")
    workers = ("--workers", "1")


WEB_SERVERS: tuple[type[WebServer], ...] = (SyncServer, ThreadsServer, GeventServer, UvicornServer)
