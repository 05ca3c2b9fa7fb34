"""A server that hangs, dies or cuts connections: sessions fail soon, then at once, and nobody is logged out."""

from __future__ import annotations

import asyncio
import logging
import statistics
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import AsyncClient, Client
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.breaker import LONGEST_PAUSE, PROBE_TIMEOUT
from django_multisession.bridge import run_sync
from django_multisession.exceptions import StoreUnavailable
from django_multisession.keys import new_session_key
from django_multisession.runtime import Event, reset
from django_multisession.testing.drive import either
from django_multisession.testing.servers.base import Server
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer
from tests.conftest import serve
from tests.databases import database
from tests.system import outage_views
from tests.system.backends import PATIENCE, Backend
from tests.system.conftest import OPTIONS, backend_at
from tests.timing import late, rate

TIMEOUT = 1.0  # seconds, the default

OURS = "django_multisession.middleware.SessionMiddleware"
DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"

Drive = Callable[[Coroutine[Any, Any, Any]], Any]

pytestmark = pytest.mark.slow


class DurableRedisServer(RedisServer):
    """Keeps what it has acknowledged."""

    def __init__(self) -> None:
        super().__init__("--appendonly", "yes", "--appendfsync", "always")


KINDS = [DurableRedisServer, MemcachedServer, MongoDBServer, PostgreSQLServer]
DURABLE = [DurableRedisServer, PostgreSQLServer]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server[Any]]:
    # Of these tests' own: they hang and kill it.
    yield from serve(request.param)


@pytest.fixture(autouse=True)
def closed_breakers() -> None:
    """Let no test suffer from the outage of the one before."""
    reset(Event.TEST)


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """Run a coroutine in either colour, the asynchronous ones in one loop."""
    if request.param == "sync":
        yield run_sync
    else:
        with asyncio.Runner() as runner:
            yield runner.run


@pytest.fixture
def backend(server: Server[Any], django_db_blocker: DjangoDbBlocker) -> Iterator[Backend]:
    with django_db_blocker.unblock():
        yield backend_at(server.name, server.location, server.port)


@pytest.fixture
def store(backend: Backend) -> Iterator[type[Any]]:
    with backend.configured() as store:
        yield store


@pytest.fixture(params=[TIMEOUT])
def through_proxy(
    request: pytest.FixtureRequest, server: Server[Any], django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[type[Any], Proxy[Any]]]:
    with (
        django_db_blocker.unblock(),
        Proxy(server) as proxy,
        backend_at(server.name, proxy.location, proxy.port).configured(TIMEOUT=request.param) as store,
    ):
        yield store, proxy


@pytest.fixture
def key(store: type[Any]) -> str:
    return new_session(store)


def new_session(store: type[Any]) -> str:
    session = store()
    session["n"] = 1
    session.save()
    key: str = session.session_key
    return key


async def load(store: type[Any], key: str) -> Any:
    return await either((opened := store(key)).get, opened.aget, "n")


async def change(store: type[Any], key: str, value: int) -> None:
    session = store(key)
    await either(session.update, session.aupdate, {"n": value})
    await either(session.save, session.asave)


def timed(drive: Drive, body: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    """Return how many seconds it took, and what it returned or which outage it raised."""
    started = time.monotonic()
    try:
        result = drive(body)
    except StoreUnavailable as error:
        result = error
    return time.monotonic() - started, result


# Sessions by themselves.


def test_hung_server_fails_soon_then_at_once_and_comes_back(
    server: Server[Any], store: type[Any], key: str, drive: Drive
) -> None:
    assert drive(load(store, key)) == 1
    with server.paused():
        seconds, result = timed(drive, load(store, key))
        assert isinstance(result, StoreUnavailable)
        assert seconds < late(TIMEOUT)
        later = [timed(drive, change(store, key, 2)) for _ in range(20)]
        assert all(isinstance(result, StoreUnavailable) for _, result in later)
        # The median, for another process may take the processor; without the breaker each waits for half of TIMEOUT.
        assert statistics.median(seconds for seconds, _ in later) < late(0, TIMEOUT / 4)
    reset(Event.TEST)  # as by a probe, a moment later
    assert drive(load(store, key)) == 1
    drive(change(store, key, 3))
    assert drive(load(store, key)) == 3


def test_save_that_meets_a_hung_server_fails_soon(
    server: Server[Any], store: type[Any], key: str, drive: Drive
) -> None:
    session = store(key)
    drive(either(session.update, session.aupdate, {"n": 2}))
    with server.paused():
        seconds, result = timed(drive, either(session.save, session.asave))
        assert isinstance(result, StoreUnavailable)
        assert seconds < late(TIMEOUT)
    reset(Event.TEST)  # as by a probe, a moment later
    assert drive(load(store, key)) in (1, 2)


@pytest.mark.nightly  # by the clock; tests/unit counts probes by one that is moved
def test_hung_server_gets_few_short_probes(server: Server[Any], store: type[Any], key: str, drive: Drive) -> None:
    drive(load(store, key))
    with server.paused():
        timed(drive, load(store, key))
        ends = time.monotonic() + 3
        probing = []
        while time.monotonic() < ends:
            seconds, _ = timed(drive, load(store, key))
            if seconds > PROBE_TIMEOUT / 2:
                probing.append(seconds)
            time.sleep(0.002)
    assert 3 <= len(probing) <= 6  # after 0.1, 0.2, 0.4, 0.8 and 1 s, each with the probe on top
    assert all(seconds < late(PROBE_TIMEOUT) for seconds in probing)
    back = time.monotonic() + late(LONGEST_PAUSE)
    while isinstance(timed(drive, load(store, key))[1], StoreUnavailable):
        assert time.monotonic() < back
        time.sleep(0.01)


@pytest.mark.parametrize("through_proxy", [PATIENCE], indirect=True)
def test_cut_connections_are_not_noticed(through_proxy: tuple[type[Any], Proxy[Any]], drive: Drive) -> None:
    store, proxy = through_proxy
    key = new_session(store)
    drive(load(store, key))
    proxy.disconnect()
    assert drive(load(store, key)) == 1
    proxy.disconnect()
    drive(change(store, key, 2))
    session = store(key)
    assert drive(either(session.get, session.aget, "n")) == 2
    proxy.disconnect()
    drive(either(session.update, session.aupdate, {"n": 3}))
    drive(either(session.save, session.asave))
    assert drive(load(store, key)) == 3


def test_refusing_server_fails_at_once_and_comes_back(
    through_proxy: tuple[type[Any], Proxy[Any]], drive: Drive
) -> None:
    store, proxy = through_proxy
    key = new_session(store)
    drive(load(store, key))
    proxy.refuse()
    for _ in range(5):
        seconds, result = timed(drive, load(store, key))
        assert isinstance(result, StoreUnavailable)
        assert seconds < late(TIMEOUT)
    proxy.restore()
    reset(Event.TEST)  # as by a probe, a moment later
    assert drive(load(store, key)) == 1


def test_killed_server_is_found_again_by_the_first_request(server: Server[Any], store: type[Any], drive: Drive) -> None:
    key = new_session(store)
    drive(load(store, key))
    server.kill()
    server.restart()
    # The others keep their records in memory: an empty session, and no error.
    assert drive(load(store, key)) == (1 if isinstance(server, tuple(DURABLE)) else None)
    drive(load(store, new_session(store)))


# A site.


class Site:
    """Requests of one visitor, of either colour, with a session that exists."""

    def __init__(self, store: type[Any], drive: Drive) -> None:
        self.store = store
        self.key = new_session(store)
        self._drive = drive

    def get(self, view: str, **headers: str) -> Any:
        """Request a view, the asynchronous one where that is the colour; errors come as responses."""
        if self._drive is run_sync:
            client = Client(raise_request_exception=False)
            client.cookies[django_settings.SESSION_COOKIE_NAME] = self.key
            return client.get(f"/{view}/", headers=headers)
        aclient = AsyncClient(raise_request_exception=False)
        aclient.cookies[django_settings.SESSION_COOKIE_NAME] = self.key
        prefix = "a" if view in ("load", "save") else ""
        return self._drive(aclient.get(f"/{prefix}{view}/", headers=headers))


@pytest.fixture(params=[OURS, DJANGOS], ids=["ours", "djangos"])
def middleware(request: pytest.FixtureRequest, settings: Any) -> str:
    chosen: str = request.param
    settings.MIDDLEWARE = [chosen]
    return chosen


@pytest.fixture
def site(settings: Any, store: type[Any], drive: Drive) -> Site:
    settings.ROOT_URLCONF = outage_views.__name__
    settings.DEBUG = False
    return Site(store, drive)


def assert_is_an_outage(response: Any, middleware: str) -> None:
    assert response.status_code == (503 if middleware == OURS else 500)
    assert not response.cookies
    if middleware == OURS:
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["Cache-Control"] == "no-store"


def test_request_that_loads_from_a_hung_server(middleware: str, server: Server[Any], site: Site) -> None:
    assert site.get("load").content == b"1"
    with server.paused():
        started = time.monotonic()
        assert_is_an_outage(site.get("load"), middleware)
        assert time.monotonic() - started < late(TIMEOUT)
        assert_is_an_outage(site.get("load"), middleware)
    reset(Event.TEST)  # as by a probe, a moment later
    assert site.get("load").content == b"1"


def test_request_that_saves_to_a_hung_server(middleware: str, server: Server[Any], site: Site) -> None:
    try:
        outage_views.meanwhile.append(server.pause)
        started = time.monotonic()
        assert_is_an_outage(site.get("save"), middleware)
        assert time.monotonic() - started < late(TIMEOUT)
    finally:
        server.resume()
    reset(Event.TEST)  # as by a probe, a moment later
    assert site.get("load").content in (b"1", b"2")


@pytest.fixture
def ours(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS]


@pytest.mark.usefixtures("ours")
def test_json_client_gets_json(server: Server[Any], site: Site) -> None:
    with server.paused():
        response = site.get("load", accept="application/json")
    assert response.status_code == 503
    assert set(response.json()) == {"error", "logged_out"}


@pytest.mark.usefixtures("ours")
def test_outage_is_one_line_in_the_log(server: Server[Any], site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with server.paused():
        for view in ("load", "save", "load"):
            assert site.get(view).status_code == 503
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "unavailable" in caplog.text
    assert site.key not in caplog.text
    ends = time.monotonic() + late(LONGEST_PAUSE)
    while site.get("load").status_code != 200:
        assert time.monotonic() < ends
        time.sleep(0.02)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.usefixtures("ours")
def test_cookie_of_another_session_is_still_sent(server: Server[Any], site: Site, settings: Any) -> None:
    cart = {"ENGINE": "django_multisession.engines.signed_cookies"}
    settings.MULTISESSION = {**settings.MULTISESSION, "cart": cart}
    site = Site(site.store, site._drive)
    try:
        outage_views.meanwhile.append(server.pause)
        response = site.get("two")
    finally:
        server.resume()
    assert response.status_code == 503
    assert set(response.cookies) == {"sessionid_cart"}


@pytest.mark.usefixtures("ours")
def test_workers_stay_free_while_a_server_hangs(server: Server[Any], store: type[Any], settings: Any) -> None:
    """Four workers serve hundreds of requests a second; without the breaker it would be eight."""
    settings.ROOT_URLCONF = outage_views.__name__
    site, seconds = Site(store, run_sync), 2.0
    answers: list[int] = []
    with server.paused():
        ends = time.monotonic() + seconds

        def work() -> None:
            while time.monotonic() < ends:
                answers.append(site.get("load").status_code)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert set(answers) == {503}
    assert len(answers) / seconds > rate(100)


@pytest.fixture
def three_hang(server: Server[Any], settings: Any, django_db_blocker: DjangoDbBlocker, ours: None) -> Iterator[Client]:
    """A visitor with three sessions, at three locations that all hang, each with a breaker of its own."""
    settings.ROOT_URLCONF = outage_views.__name__
    with django_db_blocker.unblock(), ExitStack() as stack:
        entries: dict[str, Any] = {}
        client = Client()
        for name, cookie in (("default", "sessionid"), ("second", "sessionid_second"), ("third", "sessionid_third")):
            proxy = stack.enter_context(Proxy(server))
            proxy.blackhole()
            location = proxy.location
            if server.name == "postgresql":
                location = stack.enter_context(database(location, f"sessions_{name}", migrate=False))
            engine = f"django_multisession.engines.{server.name}"
            named = {} if name == "default" else {"ENGINE": engine}
            entries[name] = {**named, "LOCATION": location, "OPTIONS": OPTIONS.get(server.name, {})}
            client.cookies[cookie] = new_session_key()
        settings.SESSION_ENGINE, settings.MULTISESSION = engine, entries
        yield client


def test_budget_is_shared_by_all_sessions_of_a_request(three_hang: Client) -> None:
    started = time.monotonic()
    assert three_hang.get("/every/").content == b"0"
    # Half a second each, and twice, would be three.
    assert time.monotonic() - started < late(TIMEOUT)


def test_outage_that_a_spent_budget_meets_first_is_one_line_in_the_log(
    three_hang: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left for the second session says nothing of its server, so that a later request opens its breaker."""
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert three_hang.get("/each/").content == b"0"
    found = (record.getMessage().partition(" is unavailable: ") for record in caplog.records)
    locations = [before for before, line, _ in found if line]
    assert len(set(locations)) == 3
    assert len(locations) == 3
