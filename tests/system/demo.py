"""The demo as a process, and a client that clicks through it."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from django_multisession.testing.servers.base import free_port
from tests.system.backends import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
START = 120.0
"""Seconds that the demo may take to start."""
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


class Answer:
    def __init__(self, response: Any) -> None:
        self.status: int = response.status
        self.url: str = response.url
        self.headers = response.headers
        self.text: str = response.read().decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Browser:
    """A client with a cookie jar that follows redirects and sends the token of the last form it saw."""

    def __init__(self, address: str, accept: str = "text/html,application/xhtml+xml,*/*;q=0.8") -> None:
        self.address = address
        self.jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self._accept = accept
        self._token = ""

    def get(self, path: str) -> Answer:
        return self._open(path)

    def submit(self, path: str, **fields: str) -> Answer:
        fields["csrfmiddlewaretoken"] = self._token
        return self._open(path, urlencode(fields).encode())

    def post_json(self, path: str, **fields: str) -> Answer:
        return self._open(path, json.dumps(fields).encode(), "application/json")

    def _open(self, path: str, body: bytes | None = None, kind: str = "application/x-www-form-urlencoded") -> Answer:
        headers = {"Accept": self._accept, "Content-Type": kind}
        request = urllib.request.Request(self.address + path, body, headers)  # noqa: S310 - http
        try:
            with self._opener.open(request, timeout=60) as response:  # a password is hashed on a busy machine
                answer = Answer(response)
        except urllib.error.HTTPError as error:
            with error:
                answer = Answer(error)
        found = TOKEN.search(answer.text)
        self._token = found[1] if found else self._token
        return answer


def environment(engine: str, directory: Path, location: str | None) -> dict[str, str]:
    settings = {
        "MULTISESSION_ENGINE": engine,
        "MULTISESSION_TIMEOUT": str(PATIENCE),
        "DEMO_DATABASE": str(directory / "demo.sqlite3"),
        "DJANGO_DEBUG": "1",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "PROJECT_VENV": sys.prefix,
    }
    inherited = {k: v for k, v in os.environ.items() if k != "MULTISESSION_LOCATION"}
    where = {"MULTISESSION_LOCATION": location} if location else {}
    return {**inherited, **settings, **where}


PREPARE = """\
import django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
call_command("demouser")
call_command("checksessions", prepare=True)
"""


def prepare(variables: Mapping[str, str]) -> None:
    """Make the tables, the user and what the engines need, as scripts/demo does, but in one process."""
    subprocess.run([sys.executable, "-c", PREPARE], cwd=ROOT, env=variables, check=True, stdout=subprocess.PIPE)


@contextmanager
def demo_process(variables: Mapping[str, str], directory: Path) -> Iterator[str]:
    """Serve the demo as scripts/demo does, until the end of the block; yield its address."""
    prepare(variables)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with process(command, variables, address, directory / "log"):
        yield address


@contextmanager
def process(command: list[str], variables: Mapping[str, str], address: str, log: Path) -> Iterator[None]:
    """Run the demo's server until the end of the block."""
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=output)
    try:
        wait_until_it_answers(server, address, log)
        yield
    finally:
        server.terminate()
        server.wait(timeout=10)


def wait_until_it_answers(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START
    trusting = ssl._create_unverified_context()  # noqa: S323 - the tests' own certificate
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/get", timeout=5, context=trusting).close()  # noqa: S310 - http
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"The demo does not answer:\n{log.read_text()}")
