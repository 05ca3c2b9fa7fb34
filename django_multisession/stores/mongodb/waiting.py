"""How long a thread or a task waits for PyMongo: as long as the server is silent, and not as long as we are busy.

See decisions.md, D33.
"""

import asyncio
import math
import re
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pymongo import MongoClient, timeout
from pymongo.errors import AutoReconnect, PyMongoError, ServerSelectionTimeoutError

from ...breaker import PROBE_TIMEOUT
from ...bridge import maybe_await
from ...deadline import ThreadClock, left
from ...loop_time import TICK
from ...runtime import monotonic

clock: Final = ThreadClock().time
"""Seconds of waiting on this thread: those in which it runs, or another greenlet of it, do not count."""
_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\] ([\w ]+)")
ATTEMPTS: Final = 3
"""How often in_time() tries a command at most: beside a server that is silent, a hub may be busy for ever."""
BACKSTOP: Final = 4
"""A command of a loop ends at so many times its limit by the clock on the wall, though nobody waits for it."""


class NoPrimary(ServerSelectionTimeoutError):
    """No primary was found in as many seconds of waiting as there were: by our own clock, and so not too early."""


def in_time(
    seconds: float,
    command: Callable[[], Any],
    harmless: bool = True,
    total: float = math.inf,
    final: tuple[type[Exception], ...] = (),
) -> Any:
    """Return what a command returns, waiting so many seconds for it at most.

    PyMongo's limits go by the clock on the wall, where what a busy gevent hub is late for would count as silence. A
    command that ended too early by it is repeated if that is harmless, with more time, as long as the operation may
    wait (``total``); otherwise AutoReconnect says that its answer is lost. ``final`` exceptions are raised at once.
    """
    limit, attempts = seconds, ATTEMPTS
    while True:
        began, waited_before = monotonic(), clock()
        try:
            with timeout(limit):
                return command()
        except final:
            raise
        except PyMongoError as error:
            # Woken too late, or busy meanwhile, or refused at once because the last look at the server took so long.
            on_time = monotonic() - began < limit + TICK and clock() - waited_before >= limit - TICK
            attempts -= 1
            if not error.timeout or on_time or not attempts:
                raise
            if not harmless:
                raise AutoReconnect("the process was too busy to see the answer") from error
            limit = min(2 * limit, left(total) - PROBE_TIMEOUT)  # for a probe may follow
            if limit <= 0:
                raise


def wait_for_primary(client: MongoClient[Any], seconds: float) -> None:
    """Return as soon as a server is known that takes writes; NoPrimary after so many seconds.

    PyMongo's own waiting goes in steps of half a second: calls that had 0.5 s took up to 1 s.
    """
    since = clock()
    while not client.topology_description.has_writable_server():
        if clock() - since >= seconds:
            raise no_primary(client)
        time.sleep(0.005)


def no_primary(client: Any) -> NoPrimary:
    """Return the exception that says why the client, of either kind, has found no primary."""
    error = NoPrimary("no primary was found in time")
    for server in client.topology_description.server_descriptions().values():
        # PyMongo keeps no cause here, but the text of it.
        if server.error and (found := _ERRNO.search(str(server.error))):
            number, text = int(found[1]), found[2]
            error.__cause__ = socket.gaierror(number, text) if number < 0 else OSError(number, text)
    return error


async def in_task(seconds: float, command: Callable[[], Awaitable[Any]]) -> Any:
    """Return what an asynchronous command returns, waiting so many seconds for it at most (see bridge.Limit).

    A caller that is cancelled leaves the command to its end: PyMongo would have to close the connection.
    """
    with timeout(BACKSTOP * seconds):
        asking = asyncio.ensure_future(command())
    asking.add_done_callback(_retrieve)
    waiting: Any = asyncio.wait([asking])
    try:
        await maybe_await(waiting, seconds)
    except TimeoutError:
        asking.cancel()
        raise
    return asking.result()


def _retrieve(asked: "asyncio.Future[Any]") -> None:
    """Take the exception of a command whose caller has left, or the loop would complain of it."""
    if not asked.cancelled():
        asked.exception()
