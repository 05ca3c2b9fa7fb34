"""Count how often an operation on a session goes from one module of the package to another: see scripts/rooms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from statistics import mean
from types import FrameType
from typing import Any

import django
from django.conf import settings
from django.test.utils import override_settings

from django_multisession.testing.servers.redis import RedisServer

PACKAGE = "django_multisession."
DATA = {"_auth_user_id": "42", "theme": "dark", "visits": 1}
CALLS = 20
"""Of which the mean is taken; the first ones, which connect and fill caches, are not counted."""


class Rooms:
    """Counts the calls from one module of the package into another, while it is installed.

    What is not of the package (Django's SessionBase, a client library, the standard library) is no room: a call through
    it comes from the module that called it. Each call has its return, which is not counted again.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        """Each change: the room that was entered, and the function that was called there."""
        self._within = [""]

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """Follow one event; for ``sys.setprofile``."""
        if event == "call":
            module = str(frame.f_globals.get("__name__", ""))
            room = module if module.startswith(PACKAGE) else self._within[-1]
            if room != self._within[-1]:
                self.calls.append((room, frame.f_code.co_qualname))
            self._within.append(room)
        elif event == "return" and len(self._within) > 1:
            self._within.pop()


def calls(operation: Callable[[], object]) -> list[tuple[str, str]]:
    """Return the changes of room in an operation."""
    rooms = Rooms()
    sys.setprofile(rooms.profile)
    try:
        operation()
    finally:
        sys.setprofile(None)
    return rooms.calls


def operations(session_class: Any) -> Iterator[tuple[str, Callable[[], Callable[[], object]]]]:
    """Yield each operation by its name, as a function that prepares it and returns it."""
    visits = count(2)

    def stored() -> str:
        session = session_class()
        session.update(DATA)
        session.save()
        return str(session.session_key)

    def loading() -> Callable[[], object]:
        key = stored()
        return lambda: session_class(key)["visits"]

    def saving() -> Any:
        session = session_class(stored())
        session["visits"] = next(visits)
        return session.save

    yield "load", loading
    yield "changed save", saving
    yield "create", lambda: stored


@contextmanager
def engines() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Yield the engines and the entries that they are measured with."""
    found: list[tuple[str, dict[str, Any]]] = [("memory", {})]
    if reason := RedisServer.available():
        print(f"left out: {reason}", file=sys.stderr)
        yield found
        return
    with RedisServer() as server:
        yield [*found, ("redis", {"LOCATION": server.location})]


def main() -> None:
    """Print a line for each engine and operation."""
    settings.configure(SECRET_KEY=CALLS * "x", INSTALLED_APPS=["django_multisession"], USE_TZ=True)
    django.setup()
    print(f"{'engine':8} {'operation':13} {'changes':>7} {'rooms':>5}")
    by_operation: dict[str, list[float]] = {}
    with engines() as measured:
        for name, entry in measured:
            path = f"{PACKAGE}engines.{name}"
            with override_settings(SESSION_ENGINE=path, MULTISESSION={"default": {**entry, "ENCRYPT": True}}):
                for operation, prepare in operations(import_module(path).SessionStore):
                    found = [calls(prepare()) for _ in range(CALLS)][CALLS // 4 :]
                    changes = mean(map(len, found))
                    rooms = {room for one in found for room, _ in one}
                    by_operation.setdefault(operation, []).append(changes)
                    print(f"{name:8} {operation:13} {changes:7.1f} {len(rooms):5}")
                    if "-v" in sys.argv:
                        print(
                            *(f"    {room.removeprefix(PACKAGE):24} {function}" for room, function in found[-1]),
                            sep="\n",
                        )
    for operation, means in by_operation.items():
        print(f"{'mean':8} {operation:13} {mean(means):7.1f}")


if __name__ == "__main__":
    main()
