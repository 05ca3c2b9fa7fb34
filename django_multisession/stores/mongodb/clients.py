"""PyMongo's clients: one for all threads of the process, one for each event loop, one for each probe.

They have pools of their own, and watch the servers with threads or tasks; so stores of the same location share them.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ...breaker import PROBE_TIMEOUT
from ...bridge import maybe_await, native_loop
from ..base import StoreOptions
from ..limits import ConcurrencyLimit
from ..pools import MAX_IDLE, LoopLocal, PerProcess
from ..wording import sentence
from .location import Location

try:
    from pymongo import AsyncMongoClient, MongoClient, timeout
    from pymongo.errors import PyMongoError
except ImportError as error:
    raise ImproperlyConfigured(
        'The mongodb engine needs PyMongo: pip install "django_multisession[mongodb]".'
    ) from error

# isort: split
from .names import Names
from .waiting import in_task, in_time, wait_for_primary

HEARTBEAT = 500
"""Milliseconds between two checks of a server, the least that PyMongo allows. With its default of ten seconds, a server
that had come back was found only by the second or third call, after each had waited for half a second."""
IN_FLIGHT = 16
"""How many operations of an event loop may be under way at a time. Each keeps the loop busy for longer than the server:
hundreds at once would all be late."""

# wait_for_primary() waits for a server; PyMongo itself must hardly wait then.
_ONE_STEP = {"serverSelectionTimeoutMS": 1}
_ALONE = {"maxPoolSize": 1, "minPoolSize": 0}


class LoopClient(NamedTuple):
    """The client of an event loop, and the limit of its operations."""

    client: AsyncMongoClient[Any]
    limit: ConcurrencyLimit


class ThreadsClient(NamedTuple):
    """The client of all threads, and the Names that look host names up before one of them connects."""

    client: MongoClient[Any]
    names: Names


class Clients:
    """The clients of one location; ``indexed`` holds the collections whose TTL index this process has made."""

    def __init__(self, location: Location, make: Callable[..., Any], patience: float) -> None:
        def connect() -> ThreadsClient:
            names = Names()
            # connect=True starts looking for the servers in the background.
            return ThreadsClient(make(MongoClient, [names], connect=True, **_ONE_STEP), names)

        def close(place: ThreadsClient) -> None:
            # It tells the server, which may hang: without a limit, this would hang too.
            with timeout(patience):
                place.client.close()

        async def close_in_loop(place: LoopClient) -> None:
            with timeout(patience):
                await place.client.close()

        self._make = make
        self.process: PerProcess[ThreadsClient] = PerProcess(connect, close)
        self.loops: LoopLocal[LoopClient] = LoopLocal(
            lambda: LoopClient(make(AsyncMongoClient, connect=False), ConcurrencyLimit(IN_FLIGHT, location.shown)),
            close_in_loop,
        )
        self.indexed: set[str] = set()

    def get(self) -> Any:
        """Return the client for the caller's thread or event loop."""
        loop = native_loop()
        return self.process.get().client if loop is None else self.loops.get(loop).client

    async def probe(self, database: str, command: Mapping[str, Any], total: float) -> None:
        """Run a command on a new connection to the primary, within PROBE_TIMEOUT seconds.

        If the process was too busy to see the answer, the probe is repeated, but only within the ``total`` seconds that
        the operation may wait: a request that has used up its time must not wait for probes of 0.2 and 0.4 s as well.
        """
        if native_loop() is None:
            client = self._make(MongoClient, connect=True, **_ALONE, **_ONE_STEP)
        else:
            client = self._make(AsyncMongoClient, connect=False, **_ALONE)

        def ask() -> Any:
            return client[database].command(command)

        def ask_in_time() -> Any:
            wait_for_primary(client, PROBE_TIMEOUT)
            return ask()

        try:
            if native_loop() is None:
                in_time(PROBE_TIMEOUT, ask_in_time, total=total)
            else:
                await in_task(PROBE_TIMEOUT, ask)
        finally:
            with timeout(PROBE_TIMEOUT):
                await maybe_await(client.close())


_shared: "weakref.WeakValueDictionary[str, Clients]" = weakref.WeakValueDictionary()


def clients_for(location: Location, options: StoreOptions) -> Clients:
    """Return the clients of a location; ImproperlyConfigured where PyMongo refuses it or OPTIONS."""
    given = dict(options.options)
    path = given.pop("client", None)
    settings = _settings(location.url, options, given)
    if path is None:
        _check(location, settings)
    make = partial(_make, _new if path is None else _imported(path), location.url, settings)
    identity = f"{location.url} {path} {options.timeout} {options.connect_timeout} {sorted(settings.items())!r}"
    return _shared.setdefault(identity, Clients(location, make, options.connect_timeout))


def _make(
    factory: Callable[..., Any],
    url: str,
    settings: Mapping[str, Any],
    kind: type[Any],
    listeners: Sequence[Any] = (),
    **more: Any,
) -> Any:
    listening = {"event_listeners": [*settings.get("event_listeners", ()), *listeners]} if listeners else {}
    return factory(kind, url, **{**settings, **listening, **more})


def _new(kind: type[Any], url: str, **settings: Any) -> Any:
    return kind(url, **settings)


def _imported(path: Any) -> Callable[..., Any]:
    try:
        factory: Callable[..., Any] = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise ImproperlyConfigured(
            f"MULTISESSION's OPTIONS['client'] is {path!r}; it must be the dotted path of a function"
            " client(kind, url, **settings) that returns a new kind(url, **settings), which is MongoClient or"
            f" AsyncMongoClient: {error}"
        ) from error
    return factory


def _settings(url: str, options: StoreOptions, given: dict[str, Any]) -> dict[str, Any]:
    """Return MongoClient's keywords. The options in LOCATION win, except for retries."""
    milliseconds = int(options.read_timeout * 1000)
    idle = given.pop("max_idle", MAX_IDLE)
    if isinstance(idle, bool) or not isinstance(idle, int | float) or idle <= 0:
        raise ImproperlyConfigured(f"MULTISESSION's OPTIONS['max_idle'] is {idle!r}; it must be seconds above 0.")
    defaults = {
        "appname": "django_multisession",
        "connectTimeoutMS": int(options.connect_timeout * 1000),
        "heartbeatFrequencyMS": HEARTBEAT,
        "maxIdleTimeMS": int(idle * 1000),
        # timeout() limits each operation; these are for what PyMongo does outside of one.
        "serverSelectionTimeoutMS": milliseconds,
        "socketTimeoutMS": milliseconds,
        "waitQueueTimeoutMS": milliseconds,
    }
    named = {name.lower() for name, _ in parse_qsl(url.partition("?")[2])} | {name.lower() for name in given}
    # Atlas' connection strings have retryWrites=true. The session layer retries instead, as it knows its own writes.
    retries = {"retryReads": False, "retryWrites": False}
    unset = {name: value for name, value in defaults.items() if name.lower() not in named}
    return {**unset, **retries, **given}


def _check(location: Location, settings: Mapping[str, Any]) -> None:
    if not location.url.startswith("mongodb://"):
        return  # finding the servers' names is I/O
    try:
        if not MongoClient[Any](location.url, connect=False, **settings).write_concern.acknowledged:
            raise ValueError("with w=0 nobody knows whether a write has happened; leave w out")
    except (PyMongoError, TypeError, ValueError) as error:
        # PyMongo's message quotes what it could not parse, which may be a part of the password.
        reason = type(error).__name__ if "@" in location.url else error
        raise ImproperlyConfigured(
            f"MULTISESSION: LOCATION {location.shown!r} or its OPTIONS cannot be used: {sentence(reason)}"
        ) from None
