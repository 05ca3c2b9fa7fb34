"""gunicorn's gevent workers, whose hub may be busy with another greenlet: no server is silent for that."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import RedisServer
from django_multisession.testing.servers.web import GeventServer
from tests.conftest import serve
from tests.databases import database
from tests.system.backends import ALIAS
from tests.system.gevent_site import SETTINGS
from tests.timing import late

pytestmark = pytest.mark.slow

PATIENCE = 30.0
VISITORS = 10
KINDS = [RedisServer, MemcachedServer, PostgreSQLServer, MongoDBServer]
LATER = 0.7
"""Seconds for which the hub is busy: longer than an answer may take (0.5) or a probe (0.1)."""


class Visitor:
    """A browser: it keeps its cookie, and the last body that it was shown."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookie = ""
        self.body = ""

    def visit(self, page: str) -> int:
        """Return the status of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", f"/{page}", headers={"Cookie": self._cookie} if self._cookie else {})
            response = connection.getresponse()
            self.body = response.read().decode()
        finally:
            connection.close()
        if cookie := response.headers["Set-Cookie"]:
            self._cookie = cookie.partition(";")[0]
        return response.status


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def backend(request: pytest.FixtureRequest) -> Iterator[Server[Any]]:
    # Of these tests' own: they hang it.
    yield from serve(request.param)


@pytest.fixture(scope="module")
def settings(backend: Server[Any], django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, Any]]:
    """The site's settings for a backend, with its tables made."""
    entry: dict[str, Any] = {"LOCATION": backend.location}
    databases: dict[str, Any] = {}
    with ExitStack() as stack:
        if isinstance(backend, PostgreSQLServer):
            stack.enter_context(django_db_blocker.unblock())
            stack.enter_context(database(backend.location, ALIAS))
            entry, databases = {"LOCATION": ALIAS}, {ALIAS: backend.location}
        yield {
            "SESSION_ENGINE": f"django_multisession.engines.{backend.name}",
            "MULTISESSION": {"default": entry},
            "DATABASES": {"default": {}, **databases},
        }


def site(settings: dict[str, Any]) -> GeventServer:
    return GeventServer("tests.system.gevent_site", {SETTINGS: json.dumps(settings)})


@pytest.fixture(scope="module")
def worker(settings: dict[str, Any]) -> Iterator[GeventServer]:
    reason = GeventServer.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI skips nothing: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)
    with site(settings) as worker:
        yield worker


def crowd(worker: GeventServer, visits: int, number: int = VISITORS) -> Counter[int]:
    """Have visitors count at the same time, so many times each; return how often each status was answered."""
    visitors = [Visitor(worker.port) for _ in range(number)]
    barrier = threading.Barrier(number)

    def come(visitor: Visitor) -> list[int]:
        barrier.wait(PATIENCE)
        return [visitor.visit("count/") for _ in range(visits)]

    with ThreadPoolExecutor(number) as threads:
        statuses = Counter(status for each in threads.map(come, visitors) for status in each)
    if set(statuses) == {200}:
        assert {visitor.body for visitor in visitors} == {str(visits)}
    return statuses


def check_that_all_are_served(attempt: Callable[[], Counter[int]]) -> None:
    """See that an attempt answers nothing but 200: one of three, for other processes may starve the server itself."""
    outcomes = []
    for _ in range(3):
        outcomes.append(attempt())
        if set(outcomes[-1]) == {200}:
            return
    pytest.fail(f"In none of three attempts was everybody served: {outcomes}")


@contextmanager
def repeated(action: Callable[[], object]) -> Iterator[None]:
    """Do something five times a second at most, as long as the block runs."""
    ends = threading.Event()

    def act() -> None:
        while not ends.wait(0.2):
            action()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def test_hub_that_is_busy_costs_nobody_a_session(worker: GeventServer) -> None:
    with repeated(lambda: Visitor(worker.port).visit("busy/?seconds=0.2")):
        check_that_all_are_served(lambda: crowd(worker, 20))


def test_answer_that_came_while_the_hub_was_busy_is_taken(worker: GeventServer) -> None:
    visitor, logged = Visitor(worker.port), worker.log_tail(1000)
    for expected in range(1, 4):
        assert visitor.visit("count/") == 200
        assert (visitor.visit(f"late/?seconds={LATER}"), worker.log_tail(1000)) == (200, logged)
        assert visitor.body == str(expected)


def test_probe_that_was_answered_while_the_hub_was_busy_succeeds(worker: GeventServer) -> None:
    """In one of some attempts: other processes may starve the server itself, whose probe has a tenth of a second."""
    visitor, answers = Visitor(worker.port), list[str]()
    while "None" not in answers:
        assert len(answers) < 10, answers
        assert visitor.visit(f"probe/?seconds={LATER}") == 200
        answers.append(visitor.body)


def test_hung_server_is_found_out_and_found_again(worker: GeventServer, backend: Server[Any]) -> None:
    visitor = Visitor(worker.port)
    assert visitor.visit("count/") == 200
    with backend.paused():
        assert visitor.visit("count/") == 503
        started = time.monotonic()
        assert visitor.visit("count/") == 503  # the breaker is open
        assert time.monotonic() - started < late(0.25)
        assert visitor.visit("none/") == 200
    ends = time.monotonic() + PATIENCE
    while visitor.visit("count/") != 200:
        assert time.monotonic() < ends
    assert visitor.body == "2"  # nobody was logged out


@pytest.mark.usefixtures("worker")  # skips where gevent is not there
def test_cold_start_on_a_busy_machine_serves_everybody(settings: dict[str, Any]) -> None:
    burn = "while True: sum(range(1000))"
    with ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            spinning = subprocess.Popen([sys.executable, "-c", burn])
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)

        def attempt() -> Counter[int]:
            with site(settings) as cold:
                return crowd(cold, 2, 4 * VISITORS)

        check_that_all_are_served(attempt)
