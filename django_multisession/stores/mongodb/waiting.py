"""Time limits for PyMongo that count the server's silence only, and not the time in which our process is busy.

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
"""Seconds that this thread has waited: those in which it, or another of its greenlets, runs do not count."""
_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\] ([\w ]+)")
ATTEMPTS: Final = 3
"""How often in_time() tries a command at most: with a silent server, a hub that is always busy would try for ever."""
BACKSTOP: Final = 4
"""PyMongo ends a command of a loop after this many times its limit, by real time, even if nobody waits for it."""


class NoPrimary(ServerSelectionTimeoutError):
    """No primary was found within the limit, counted by our own clock: final, as it cannot have ended too early."""


def in_time(
    seconds: float,
    command: Callable[[], Any],
    harmless: bool = True,
    total: float = math.inf,
    final: tuple[type[Exception], ...] = (),
) -> Any:
    """Return what a command returns, waiting at most so many seconds for it.

    PyMongo's limits go by real time, so that the lag of a busy gevent hub would count as silence. A command that has
    therefore ended too early is repeated with more time if it is ``harmless``, while the operation may wait (``total``
    seconds); if it is not, AutoReconnect says that its answer is lost. ``final`` exceptions are raised at once.
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
            # Not on time: woken too late, or busy meanwhile, or refused at once since the last check was slow.
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
    """Return as soon as a primary is known; NoPrimary after so many seconds.

    PyMongo itself waits in steps of half a second, so that calls with a limit of 0.5 s took up to 1 s.
    """
    since = clock()
    while not client.topology_description.has_writable_server():
        if clock() - since >= seconds:
            raise no_primary(client)
        time.sleep(0.005)


def no_primary(client: Any) -> NoPrimary:
    """Return the exception for a client, of either colour, that has found no primary; its cause says why."""
    error = NoPrimary("no primary was found in time")
    for server in client.topology_description.server_descriptions().values():
        # PyMongo keeps only the text of the cause here.
        if server.error and (found := _ERRNO.search(str(server.error))):
            number, text = int(found[1]), found[2]
            error.__cause__ = socket.gaierror(number, text) if number < 0 else OSError(number, text)
    return error


async def in_task(seconds: float, command: Callable[[], Awaitable[Any]]) -> Any:
    """Return what an asynchronous command returns, waiting at most so many seconds for it (see loop_time.Limit).

    If the caller is cancelled, the command goes on: cancelled, it would make PyMongo close the connection.
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
    """Retrieve the exception of a command whose caller was cancelled, or asyncio would log it."""
    if not asked.cancelled():
        asked.exception()
