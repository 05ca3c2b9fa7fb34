"""Circuit breakers: they stop calls to a server that hangs or is down; otherwise every worker would wait out its limit.

One call without an answer proves nothing: a large record, a slow connection or too many callers may be the reason. So a
location is suspected only if it has answered nobody else since the call began. A lost connection does not count if the
call will be repeated for it (Store.call()). Then one probe decides: it reads a key that no record has, on a connection
of its own, within PROBE_TIMEOUT. The breaker opens only if the probe cannot connect or is not answered. While it is
open calls fail at once, except for the one that finds the next probe due.
"""

import logging
import threading
from collections.abc import Awaitable, Callable
from random import uniform
from typing import Final

from .bridge import pause
from .exceptions import StoreUnavailable
from .runtime import ALWAYS, Event, Kept, monotonic, on

logger = logging.getLogger("django_multisession")

PROBE_TIMEOUT: Final = 0.1
"""Seconds in which a probe must be answered."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0
"""Seconds between two probes: FIRST_PAUSE, then twice as many each time, up to LONGEST_PAUSE. A pause begins when a
probe ends, but ends at most LONGEST_PAUSE after that probe began: so long may calls be refused once the server is back.
"""
SHORTEST_PART: Final = 0.7
"""The least part of a pause that is waited; the rest is random, so that processes do not probe at the same moment."""
_LOOK: Final = 0.005
"""Seconds after which a caller looks again whether another's probe has ended."""

REPORT_INTERVAL: Final = 1.0
"""Seconds between two lines in the log about the same kind of failure."""

Probe = Callable[[], Awaitable[str | None]]
"""Asks the server; returns None if it has answered, else the reason in a few words."""


class Breaker:
    """The circuit breaker of one location: a server, or a node of a ring or cluster. One per process."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.answers = 0
        """How many calls and probes were answered: 0 if none ever was; compared, to see if one was meanwhile."""
        self.start()

    def start(self) -> None:
        """Start closed, with a new lock: a forked child may have inherited one that is held."""
        self.is_open = False
        self._lock = threading.Lock()
        self._probing = False
        self._pause = FIRST_PAUSE
        self._next_probe = 0.0
        self._opened_at = 0.0
        self._reported_at: int | None = None

    async def admits(self, probe: Probe) -> bool:
        """Tell whether a call may be made; while open, probe first if a probe is due."""
        if not self.is_open:
            return True
        if monotonic() < self._next_probe or not self._begin():
            return False
        return await self._decide(probe, "")

    def reported(self) -> None:
        """Note that an outage has been logged: if the breaker opens before anybody is answered, it is not logged again.

        See decisions.md, D84.
        """
        self._reported_at = self.answers

    async def suspect(self, answers: int, probe: Probe, reason: str) -> bool:
        """Have one probe decide after a call without an answer; return whether the location has answered anybody since.

        ``answers`` is the breaker's count from before the call, and ``reason`` says how the call ended.
        """
        while not self.is_open and answers == self.answers:
            if self._begin():
                return await self._decide(probe, reason)
            await pause(_LOOK)  # another caller's probe decides
        return not self.is_open

    def _begin(self) -> bool:
        """Tell whether the caller is to probe, and nobody else does so already."""
        with self._lock:
            mine, self._probing = not self._probing, True
        return mine

    async def _decide(self, probe: Probe, reason: str) -> bool:
        began = monotonic()
        try:
            failure = await probe()
            if failure is None:
                self._close()
            else:
                reasons = dict.fromkeys(filter(None, (reason, failure)))  # each once
                self._open("; then ".join(reasons), monotonic() - began)
            return failure is None
        finally:
            self._probing = False

    def _close(self) -> None:
        self.answers += 1
        if self.is_open:
            self.is_open, self._pause = False, FIRST_PAUSE
            seconds = monotonic() - self._opened_at
            logger.info("The session store at %s is available again after %.1f s.", self.location, seconds)

    def _open(self, reason: str, probed: float) -> None:
        now = monotonic()
        if not self.is_open:
            self.is_open, self._opened_at, self._pause = True, now, FIRST_PAUSE
            if self._reported_at != self.answers:
                logger.error("The session store at %s is unavailable: %s", self.location, reason)
            _reported.value[self.location, StoreUnavailable] = now  # report() need not log what has opened it
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        # Jitter: workers that met the outage at the same moment would otherwise all wait for probes at once.
        chosen = self._pause * uniform(SHORTEST_PART, 1.0)  # noqa: S311 - no secret
        self._next_probe = now + min(chosen, LONGEST_PAUSE - probed)


_breakers: Kept[dict[str, Breaker]] = Kept(dict, Event(0))  # stores hold theirs


@on(Event.FORK | Event.TEST)
def _start_anew() -> None:
    for breaker in list(_breakers.value.values()):
        breaker.start()


@on(Event.TEST)
def _forget_answers() -> None:
    for breaker in list(_breakers.value.values()):
        breaker.answers = 0


def breaker_for(location: str) -> Breaker:
    """Return this process' breaker for a location, a URL without its password."""
    found = _breakers.value.get(location)
    return found if found is not None else _breakers.value.setdefault(location, Breaker(location))


class BreakerOpen(StoreUnavailable):
    """The server did not answer a moment ago, so it was not asked."""


_reported: Kept[dict[tuple[object, ...], float]] = Kept(dict, ALWAYS)


def warn(text: str, *arguments: object) -> None:
    """Log a warning: at most one in REPORT_INTERVAL with the same text and the same strings in it."""
    if _is_due(text, *(argument for argument in arguments if isinstance(argument, str))):
        logger.warning(text, *arguments)


def _is_due(*kind: object) -> bool:
    now = monotonic()
    if now - _reported.value.get(kind, -REPORT_INTERVAL) < REPORT_INTERVAL:
        return False
    _reported.value[kind] = now
    return True


def report(error: StoreUnavailable) -> None:
    """Log an outage, at most once in REPORT_INTERVAL for each kind of failure and location.

    An open breaker is logged when it opens and when it closes, and not in between.
    """
    if isinstance(error, BreakerOpen):
        return
    breaker = breaker_for(error.location) if type(error) is StoreUnavailable else None
    if breaker is not None and breaker.is_open:
        return
    if _is_due(error.location, type(error)):
        logger.error("%s", error)
        if breaker is not None:
            breaker.reported()
