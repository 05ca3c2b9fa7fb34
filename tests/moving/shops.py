"""The processes of a site whose visitors are under way: shop.py with settings of their own.

A move has a dozen of them, each with settings of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from tests.processes import fresh_processes

HOST = "127.0.0.1"
SETTINGS = "tests.moving.shop_settings"
MOST = 2000
"""More users than there are visitors."""
THREADS = 8
"""Requests that one process answers at once."""
STARTS = 4
"""Processes that start at once."""
_FORKS = fresh_processes()


class _Site(ThreadingMixIn, WSGIServer):
    """A server with as many threads as it has connections at most."""

    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._threads = ThreadPoolExecutor(THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._threads.submit(self.process_request_thread, request, client_address)


class _Requests(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of what it overrides
        pass


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a process of the site."""
    return {"DJANGO_SETTINGS_MODULE": SETTINGS, "SHOP": json.dumps(settings)}


def prepare(settings: Mapping[str, Any]) -> None:
    """Make the tables of the site; some engines' have a key to the users' table, which no view reads."""
    preparing = _FORKS.Process(target=_prepare, args=(environment(settings),))
    preparing.start()
    preparing.join()
    assert preparing.exitcode == 0


def _prepare(variables: Mapping[str, str]) -> None:
    os.environ.update(variables)
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User

    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=0)
    call_command("createcachetable", verbosity=0)
    User.objects.bulk_create(User(pk=key, username=f"user {key}") for key in range(1, MOST))


def _serve(variables: Mapping[str, str], log: str, started: Connection) -> None:
    """Serve the site, in a process of its own, until that is ended, or whoever has started it is gone."""
    with Path(log).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    os.environ.update(variables)

    site = _Site((HOST, 0), _Requests)
    site.set_app(get_wsgi_application())
    started.send(site.server_port)
    site.serve_forever()


def _end_with_the_tests() -> None:
    tests = multiprocessing.parent_process()
    assert tests is not None
    tests.join()
    os._exit(1)


class Shop:
    """One process of the site. Use as a context manager."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._variables = environment(settings)
        self.port = 0  # until started
        self._process: Any = None
        self._directory = tempfile.TemporaryDirectory(prefix="shop-")
        self._log = Path(self._directory.name) / "log"

    def start(self) -> Self:
        """Start, and wait until it serves."""
        started, starts = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_serve, args=(self._variables, str(self._log), starts), daemon=True)
        self._process.start()
        starts.close()
        try:
            self.port = started.recv()
        except EOFError:
            raise AssertionError(f"the shop did not start:\n{self.log_tail(40)}") from None
        return self

    def stop(self) -> None:
        """End it; does nothing when it is not started."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._process = None
        self._directory.cleanup()

    def log_tail(self, lines: int) -> str:
        """Return the end of what it has printed."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(shops: Iterable[Shop]) -> None:
    """Start processes beside each other."""
    with ThreadPoolExecutor(STARTS) as starting:
        list(starting.map(Shop.start, shops))


def stop(shops: Iterable[Shop]) -> None:
    """Stop processes."""
    for shop in shops:
        shop.stop()
