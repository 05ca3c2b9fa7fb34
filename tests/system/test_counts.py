"""What an operation on a session costs, counted and not timed: round trips, statements, changes of thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth import SESSION_KEY
from pymongo.monitoring import CommandListener
from pytest_django.plugin import DjangoDbBlocker

from django_multisession.keys import new_session_key
from django_multisession.testing.servers.proxy import Proxy
from tests.system.backends import PATIENCE
from tests.system.conftest import backend_at

PACKAGE = "django_multisession"
NATIVE = ("redis", "mongodb", "postgresql")
"""The engines whose client library is asynchronous itself."""
THREADED = ("memcached", "db-postgresql")
TABLED = ("postgresql", "db-postgresql")
COLOURS = ("sync", "async")
SYNC_NAMES = {"set": "__setitem__"}


class Commands(CommandListener):
    """Counts what PyMongo sends, its look-outs for the server left out."""

    def __init__(self) -> None:
        self.number = 0

    def started(self, event: Any) -> None:
        self.number += 1

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


class Engine:
    """An engine in one colour, and ``asked()``: how often its server was."""

    def __init__(
        self,
        name: str,
        store: type[Any],
        runner: asyncio.Runner | None,
        asked: Callable[[], int],
        log: Callable[[], str],
    ) -> None:
        self.name = name
        self.store = store
        self.asked = asked
        self.log = log
        self.runner = runner

    def call(self, session: Any, method: str, *arguments: Any) -> Any:
        """Call ``method`` or its asynchronous twin."""
        if self.runner is None:
            return getattr(session, SYNC_NAMES.get(method, method))(*arguments)
        return self.runner.run(getattr(session, f"a{method}")(*arguments))

    def new(self) -> str:
        """Store a session and return its key."""
        session = self.store()
        self.call(session, "set", "number", 1)
        self.call(session, "save")
        key: str = session.session_key
        return key

    def loaded(self) -> Any:
        """Return a session that was stored and loaded."""
        session = self.store(self.new())
        assert self.call(session, "get", "number") == 1
        return session

    def warm(self) -> None:
        """Connect, prepare statements, make indexes: what a process does once."""
        for _ in range(3):
            for prepare, _trips in OPERATIONS.values():
                prepare(self)()


# Each prepares a session and returns the call that is counted.


def load(engine: Engine) -> Callable[[], Any]:
    session = engine.store(engine.new())
    return lambda: engine.call(session, "get", "number")


def change(engine: Engine) -> Callable[[], Any]:
    session = engine.loaded()
    engine.call(session, "set", "number", 2)
    return lambda: engine.call(session, "save")


def save_unchanged(engine: Engine) -> Callable[[], Any]:
    session = engine.loaded()
    return lambda: engine.call(session, "save")


def save_unchanged_with_the_response(engine: Engine) -> Callable[[], Any]:
    session = engine.loaded()
    session.commits_with_response = True  # as under our middleware, which sends no cookie for it
    return lambda: engine.call(session, "save")


def create(engine: Engine) -> Callable[[], Any]:
    session = engine.store()
    engine.call(session, "set", "number", 1)
    return lambda: engine.call(session, "save")


def exists(engine: Engine) -> Callable[[], Any]:
    key = engine.new()
    return lambda: engine.call(engine.store(), "exists", key)


def delete(engine: Engine) -> Callable[[], Any]:
    key = engine.new()
    return lambda: engine.call(engine.store(), "delete", key)


def flush(engine: Engine) -> Callable[[], Any]:
    session = engine.loaded()
    return lambda: engine.call(session, "flush")


def cycle_key(engine: Engine) -> Callable[[], Any]:
    session = engine.loaded()
    return lambda: engine.call(session, "cycle_key")


def login(engine: Engine) -> Callable[[], Any]:
    session = engine.loaded()

    def log_in() -> None:
        # As django.contrib.auth.login() does, and the middleware after it.
        engine.call(session, "cycle_key")
        engine.call(session, "set", SESSION_KEY, "42")
        engine.call(session, "save")

    return log_in


def unknown_key(engine: Engine) -> Callable[[], Any]:
    session = engine.store(new_session_key())
    return lambda: engine.call(session, "get", "number")


def no_key(engine: Engine) -> Callable[[], Any]:
    session = engine.store()
    return lambda: engine.call(session, "get", "number")


OPERATIONS: dict[str, tuple[Callable[[Engine], Callable[[], Any]], int]] = {
    "load": (load, 1),
    "change": (change, 1),  # after the load
    "save_unchanged": (save_unchanged, 1),  # whether the session still lives
    "save_unchanged_with_the_response": (save_unchanged_with_the_response, 0),
    "create": (create, 1),
    "exists": (exists, 1),
    "delete": (delete, 2),  # where it is by now, and that
    "flush": (flush, 1),
    "cycle_key": (cycle_key, 2),
    "login": (login, 3),
    "unknown_key": (unknown_key, 1),
    "no_key": (no_key, 0),
}
"""What is counted, and the round trips that it may take."""
MORE = {("memcached", "login"): 1}
"""The answer to a write holds no cas token there, so that it is read before the next write of the same request."""


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[Engine]:
    name, colour = request.param
    server = request.getfixturevalue(f"{name.rpartition('-')[2]}_server")
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        runner = stack.enter_context(asyncio.Runner()) if colour == "async" else None
        proxy = stack.enter_context(Proxy(server))
        location, commands = proxy.location, Commands()
        more: dict[str, Any] = {}
        if name == "mongodb":
            more = {"OPTIONS": {"event_listeners": [commands]}}
        if name in TABLED:
            location = {**location, "OPTIONS": {"options": "-c log_statement=all"}}
        backend = backend_at(name, location, proxy.port)
        store = stack.enter_context(backend.configured(TIMEOUT=PATIENCE, **more))
        engine = Engine(
            name,
            store,
            runner,
            (lambda: commands.number) if name == "mongodb" else (lambda: proxy.requests),
            lambda: server.log_tail(10**6),
        )
        engine.warm()
        yield engine


def on(*names: str, colours: tuple[str, ...] = COLOURS) -> pytest.MarkDecorator:
    """Run a test on these engines, in these colours."""
    pairs = [(name, colour) for name in names for colour in colours]
    return pytest.mark.parametrize(
        "engine", pairs, ids=["-".join(pair) for pair in pairs], indirect=True, scope="module"
    )


@on(*NATIVE, *THREADED)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_takes_as_many_round_trips(engine: Engine, operation: str) -> None:
    prepare, round_trips = OPERATIONS[operation]
    counted = prepare(engine)
    before = engine.asked()
    counted()
    assert engine.asked() - before == round_trips + MORE.get((engine.name, operation), 0)


@on(*TABLED)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_runs_as_many_statements_without_a_transaction(engine: Engine, operation: str) -> None:
    prepare, statements = OPERATIONS[operation]
    counted = prepare(engine)
    before = len(engine.log())
    counted()
    # Simple and prepared ones; BEGIN and COMMIT would be among them.
    lines = [line for line in engine.log()[before:].splitlines() if "LOG:" in line]
    assert len(lines) == statements, lines
    assert not any("BEGIN" in line or "COMMIT" in line for line in lines)


@on("postgresql")
def test_postgresql_prepares_its_statements(engine: Engine) -> None:
    prepare, _ = OPERATIONS["load"]
    counted = prepare(engine)
    before = len(engine.log())
    counted()
    assert "execute multisession_" in engine.log()[before:]


class Hops:
    """Where code left its event loop: ``wrapped`` is who called sync_to_async, ``threads`` how often any did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
        self.wrapped: list[str] = []
        self.threads = 0
        wrap, hop = SyncToAsync.__init__, loop.run_in_executor

        def wrapping(instance: Any, *args: Any, **kwargs: Any) -> None:
            self.wrapped.append(_caller(sys._getframe(1)))
            wrap(instance, *args, **kwargs)

        def hopping(*args: Any) -> Any:
            self.threads += 1
            return hop(*args)

        monkeypatch.setattr(SyncToAsync, "__init__", wrapping)
        monkeypatch.setattr(loop, "run_in_executor", hopping)


def _caller(frame: FrameType | None) -> str:
    while frame is not None and frame.f_globals["__name__"].startswith("asgiref"):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals["__name__"])


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Hops:
    assert engine.runner is not None
    return Hops(monkeypatch, engine.runner.get_loop())


@on(*NATIVE, colours=("async",))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_stays_in_its_event_loop(engine: Engine, operation: str, hops: Hops) -> None:
    prepare, _ = OPERATIONS[operation]
    prepare(engine)()
    assert (hops.wrapped, hops.threads) == ([], 0)


@on("memcached", colours=("async",))
def test_memcached_operation_leaves_the_event_loop(engine: Engine, hops: Hops) -> None:
    prepare, _ = OPERATIONS["load"]
    prepare(engine)()
    # By threads of the store's own, which the application's work does not keep busy.
    assert (hops.wrapped, hops.threads) == ([], 0)


@on("db-postgresql", colours=("async",))
def test_db_operation_runs_on_the_thread_of_djangos_connections(engine: Engine, hops: Hops) -> None:
    prepare, _ = OPERATIONS["load"]
    prepare(engine)()
    assert hops.wrapped == [f"{PACKAGE}.stores.aliases"] * 2
