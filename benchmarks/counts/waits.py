"""What waiting does to the code after it: the same call in a row, and right after a round trip to another process.

A process that waits for a socket finds its caches filled by others when it goes on. A bare client has little to run
then; whoever does more with an answer than that pays for all of it at this price.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.counts.null_store import NullSession
from benchmarks.payload import Payload
from benchmarks.project import project
from benchmarks.rounds import without_collections
from benchmarks.sides import OURS, SessionSide

CALLS = 2000
_ECHO = """
import socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
while data := connection.recv(4096):
    connection.sendall(data)
"""


@dataclass(frozen=True)
class Wait:
    """Microseconds of an operation over a null store."""

    operation: str
    in_a_row: float
    after_a_wait: float


def waits(payload: Payload) -> Iterator[Wait]:
    """Yield what load and create take, either way."""
    with project(), _echo() as trip:
        side = SessionSide(OURS, NullSession, payload)
        key = side.keys("load", 1)[0]
        for operation in ("load", "create"):
            call = side.operation(operation)
            yield Wait(operation, _median(call, key, partial(call, key)), _median(call, key, trip))


def _median(call: Callable[[str], Any], key: str, before: Callable[[], object]) -> float:
    times = []
    with without_collections():
        for _ in range(CALLS):
            before()
            started = perf_counter()
            call(key)
            times.append(perf_counter() - started)
    return median(times) * 1e6


@contextmanager
def _echo() -> Iterator[Callable[[], object]]:
    """Yield a function that sends a command's worth of bytes to another process and waits for them to come back."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-I", "-c", _ECHO, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as echo:
            theirs.close()

            def trip() -> bytes:
                ours.sendall(b"x" * 64)
                return ours.recv(4096)

            yield trip
            ours.close()  # which ends it
            echo.wait(10)
