"""Stop asking a server that hangs or is down: without it every worker waits out its limit.

A call that ends unanswered proves nothing: one large record, a slow connect or a crowd may be to blame. So the
location becomes suspect only if nobody else has been answered since the call began, and one probe decides then: a
read of a key that no record has, on a connection of its own, for PROBE_TIMEOUT seconds. Only its silence or refusal
opens the breaker. While the breaker is open, calls fail at once, but for the one that finds it time for another
probe.
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
"""Seconds between two probes: the first after FIRST_PAUSE, then twice as many each time; LONGEST_PAUSE counts from
the beginning of the last one, so that nobody is refused for longer once the server is back."""
SHORTEST_PART: Final = 0.7
"""The least part of a pause that is waited; chance decides, so that processes do not probe at the same moment."""
_LOOK: Final = 0.005
"""Seconds between two looks at a probe that somebody else has begun."""

REPORT_INTERVAL: Final = 1.0
"""Seconds between two lines in the log about the same kind of failure."""

Probe = Callable[[], Awaitable[str | None]]
"""Asks the server; returns None if it has answered, or else, in a few words, why not."""


class Breaker:
    """What a process knows of one location, be it a server or a node of several."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.answers = 0
        """How many calls were answered; only that it differs has a meaning."""
        self.start()

    def start(self) -> None:
        """Begin closed, with a lock that nobody holds."""
        self.is_open = False
        self._lock = threading.Lock()
        self._probing = False
        self._pause = FIRST_PAUSE
        self._next_probe = 0.0
        self._opened_at = 0.0
        self._reported_at: int | None = None

    async def admits(self, probe: Probe) -> bool:
        """Tell whether a call may be made; while open, probe first if that is due."""
        if not self.is_open:
            return True
        if monotonic() < self._next_probe or not self._begin():
            return False
        return await self._decide(probe, "")

    def reported(self) -> None:
        """Note that the log has a line of an outage: if nobody is answered before the breaker opens, it is the same.

        See decisions.md, D84.
        """
        self._reported_at = self.answers

    async def suspect(self, answers: int, probe: Probe, reason: str) -> bool:
        """Have one probe decide after a call that ended unanswered; ``answers`` were as many when it began.

        Return whether the location has answered anybody since.
        """
        while not self.is_open and answers == self.answers:
            if self._begin():
                return await self._decide(probe, reason)
            await pause(_LOOK)  # somebody else's probe decides
        return not self.is_open

    def _begin(self) -> bool:
        """Tell whether the caller is the one to probe: somebody else may be doing so."""
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
                said = failure if not reason else f"{reason}; then {failure}" if failure != reason else reason
                self._open(said, monotonic() - began)
            return failure is None
        finally:
            self._probing = False

    def _close(self) -> None:
        self.answers += 1
        if self.is_open:
            self.is_open, self._pause = False, FIRST_PAUSE
            seconds = monotonic() - self._opened_at
            logger.info("The session store at %s is available again after %.1f s.", self.location, seconds)

    def _open(self, reason: str, probed: float = 0.0) -> None:
        now = monotonic()
        if not self.is_open:
            self.is_open, self._opened_at, self._pause = True, now, FIRST_PAUSE
            if self._reported_at != self.answers:
                logger.error("The session store at %s is unavailable: %s", self.location, reason)
            _reported.value[self.location, StoreUnavailable] = now  # what has opened it is no second line
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        # Workers that met the outage at one moment would all wait for their probes at one moment, and serve nobody.
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
    """Return the process' breaker of a location (a URL without its password)."""
    found = _breakers.value.get(location)
    return found if found is not None else _breakers.value.setdefault(location, Breaker(location))


class BreakerOpen(StoreUnavailable):
    """The server did not answer a moment ago, and was not asked again."""


_reported: Kept[dict[tuple[object, ...], float]] = Kept(dict, ALWAYS)


def warn(text: str, *arguments: object) -> None:
    """Log a warning, at most one in REPORT_INTERVAL of the same text and names."""
    if _is_due(text, *(argument for argument in arguments if isinstance(argument, str))):
        logger.warning(text, *arguments)


def _is_due(*kind: object) -> bool:
    now = monotonic()
    if now - _reported.value.get(kind, -REPORT_INTERVAL) < REPORT_INTERVAL:
        return False
    _reported.value[kind] = now
    return True


def report(error: StoreUnavailable) -> None:
    """Log what kept somebody from a session: at most once a second for each kind and location.

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
