"""Where a MongoDB is, and its clients: one for all threads of the process, one an event loop."""

import re
import time
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from django.core.exceptions import ImproperlyConfigured

from ...bridge import native_loop
from ..base import StoreOptions
from ..pools import ConcurrencyLimit, LoopLocal, PerProcess

try:
    from pymongo import AsyncMongoClient, MongoClient, timeout
    from pymongo.errors import PyMongoError, ServerSelectionTimeoutError
except ImportError as error:
    raise ImproperlyConfigured(
        'The mongodb engine needs PyMongo: pip install "django_multisession[mongodb]"'
    ) from error

DEFAULT_LOCATION = "mongodb://127.0.0.1:27017/multisession"

# wait_for_primary() does the waiting; PyMongo then takes one step of it at most.
_ONE_STEP = {"serverSelectionTimeoutMS": 1}
HEARTBEAT = 500
"""Milliseconds between looks at a server, PyMongo's least: with its default of ten seconds a server that has come
back was found by the second or third call only, each of which had waited for half a second."""


IN_FLIGHT = 16
"""How many operations of an event loop are under way at a time. PyMongo keeps the loop longer with each than the server
does: hundreds at once would share it until all of them are late."""


class LoopClient(NamedTuple):
    """The client of an event loop, and whose turn it is to use it."""

    client: AsyncMongoClient[Any]
    slots: ConcurrencyLimit


class Clients:
    """The clients of one location. Each has threads or tasks that watch the servers, so stores share them.

    ``indexed`` holds the collections whose TTL index this process has made.
    """

    def __init__(self, location: str, shown: str, settings: Mapping[str, Any], patience: float) -> None:
        def close(client: MongoClient[Any]) -> None:
            # It takes leave of the server, which may hang: without a bound, so would this.
            with timeout(patience):
                client.close()

        async def close_in_loop(place: LoopClient) -> None:
            with timeout(patience):
                await place.client.close()

        # connect=True starts looking for the servers in the background.
        self.process: PerProcess[MongoClient[Any]] = PerProcess(
            lambda: MongoClient(location, connect=True, **{**settings, **_ONE_STEP}), close
        )
        self.loops: LoopLocal[LoopClient] = LoopLocal(
            lambda: LoopClient(
                AsyncMongoClient(location, connect=False, **settings), ConcurrencyLimit(IN_FLIGHT, shown)
            ),
            close_in_loop,
        )
        self.indexed: set[str] = set()

    def get(self) -> Any:
        """Return the client that the caller can use."""
        loop = native_loop()
        return self.process.get() if loop is None else self.loops.get(loop).client


_shared: "weakref.WeakValueDictionary[str, Clients]" = weakref.WeakValueDictionary()


def clients_for(location: str, shown: str, options: StoreOptions) -> Clients:
    """Return the clients of a location; ImproperlyConfigured where PyMongo refuses it or OPTIONS."""
    settings = _settings(location, options)
    try:
        _check(location, settings)
    except (PyMongoError, TypeError, ValueError) as error:
        # PyMongo shows what it could not parse, which may be a part of the password.
        reason = type(error).__name__ if "@" in location else error
        raise ImproperlyConfigured(
            f"MULTISESSION's LOCATION {shown!r} or its OPTIONS cannot be used: {reason}"
        ) from None
    identity = f"{location} {options.timeout} {sorted(settings.items())!r}"
    return _shared.setdefault(identity, Clients(location, shown, settings, options.connect_timeout))


def parse(location: Any) -> tuple[str, str, str]:
    """Return the location, the same without password and options, and the name of its database."""
    location = DEFAULT_LOCATION if location is None else location
    if not isinstance(location, str):
        raise ImproperlyConfigured(
            "MULTISESSION's LOCATION for the mongodb engine must be a string such as"
            f" {DEFAULT_LOCATION!r}, not a {type(location).__name__}."
        )
    scheme, separator, rest = location.partition("://")
    # Not by urlsplit(): it refuses, and shows, what has an unescaped bracket in its password.
    # Options come after the database: a "?" before any "/" is of a password that was left unescaped.
    front = rest.partition("?")[0]
    user, at, address = (front if "/" in front else rest).rpartition("@")
    hosts, _, database = address.partition("/")
    shown = f"{scheme}{separator}{user.partition(':')[0]}{at}{hosts}/{database}"
    if scheme not in {"mongodb", "mongodb+srv"} or not hosts:
        raise ImproperlyConfigured(
            f"MULTISESSION's LOCATION for the mongodb engine is {shown if separator else '…'!r}; it"
            " must be 'mongodb://host:port/database' or 'mongodb+srv://host/database'."
        )
    if not re.fullmatch(r'[^/\\. "$\0]{1,63}', database):
        raise ImproperlyConfigured(
            f"MULTISESSION's LOCATION {shown!r} must end with the name of a database: 'mongodb://host:port/database'."
        )
    return location, shown, database


def wait_for_primary(client: MongoClient[Any], seconds: float) -> None:
    """Return as soon as a server is known that takes writes; ServerSelectionTimeoutError after seconds.

    PyMongo's own waiting goes in steps of half a second: calls that had 0.5 s took up to 1 s.
    """
    end = time.monotonic() + seconds
    while not client.topology_description.has_writable_server():
        if time.monotonic() >= end:
            raise ServerSelectionTimeoutError("no primary server was found in time")
        time.sleep(0.005)


def _settings(location: str, options: StoreOptions) -> dict[str, Any]:
    """Return MongoClient's keywords. LOCATION's own options stand, but for retries."""
    milliseconds = int(options.read_timeout * 1000)
    defaults = {
        "appname": "django_multisession",
        "connectTimeoutMS": int(options.connect_timeout * 1000),
        "heartbeatFrequencyMS": HEARTBEAT,
        # Each operation is bounded by timeout(); these are for what PyMongo does outside of one.
        "serverSelectionTimeoutMS": milliseconds,
        "socketTimeoutMS": milliseconds,
        "waitQueueTimeoutMS": milliseconds,
    }
    given = {name.lower() for name, _ in parse_qsl(location.partition("?")[2])}
    given |= {name.lower() for name in options.options}
    # Atlas hands out locations with retryWrites=true. The session layer retries, and knows its own writes.
    retries = {"retryReads": False, "retryWrites": False}
    unset = {name: value for name, value in defaults.items() if name.lower() not in given}
    return {**unset, **retries, **options.options}


def _check(location: str, settings: Mapping[str, Any]) -> None:
    if not location.startswith("mongodb://"):
        return  # finding the servers' names is I/O
    if not MongoClient[Any](location, connect=False, **settings).write_concern.acknowledged:
        raise ValueError("with w=0 nobody knows whether a write has happened; leave w out")
