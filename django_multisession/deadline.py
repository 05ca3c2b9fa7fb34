"""How long a store may keep a request waiting: one budget for all its calls, and a circuit breaker.

Time is monotonic and in seconds. A budget counts the time spent waiting for stores, not the view's own.
"""

import logging
import os
import threading
import time
from contextvars import ContextVar, Token
from types import TracebackType

from .exceptions import StoreUnavailable

logger = logging.getLogger("django_multisession")

FAILURES_TO_OPEN = 3
PROBE_INTERVAL = 1.0


class Budget:
    """The time that the calls of one request have spent; calls that overlap count once."""

    __slots__ = ("_active", "_since", "_spent")

    def __init__(self) -> None:
        self._spent = 0.0
        self._active = 0
        self._since = 0.0

    def start(self, now: float) -> float:
        """Note that a call starts now; return the seconds spent by earlier ones."""
        if not self._active:
            self._since = now
        self._active += 1
        return self._spent + now - self._since

    def stop(self, now: float) -> None:
        """Note that a call ended now."""
        self._active -= 1
        if not self._active:
            self._spent += now - self._since


_current: ContextVar[Budget | None] = ContextVar("multisession_budget", default=None)


class shared_budget:  # noqa: N801 - a context manager, used like a function
    """Let everything inside share one budget; inside another shared_budget it changes nothing.

    The middleware opens one a request, a session one an operation. A WebSocket that lives for hours opens none
    of its own, so that its operations do not add up.
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[Budget | None] | None = None
        if _current.get() is None:
            self._token = _current.set(Budget())

    def __exit__(self, *error: object) -> None:
        if self._token is not None:
            _current.reset(self._token)


class Breaker:
    """Stop asking a server that does not answer: without it every worker waits out its timeout.

    Opens at the first timeout or the third connection error in a row, then lets one call a second through.
    Without one, a hung Redis took a site with four workers from 3,540 to 4 requests a second.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.unlock()
        self._failures = 0
        self._open = False
        self._reported = False
        self._next_probe = 0.0

    def unlock(self) -> None:
        """Make a new lock, free whoever held the old one."""
        self._lock = threading.Lock()

    def refuses(self, now: float) -> bool:
        """Tell whether a call must fail at once; the call that finds False while open is the probe."""
        if not self._open:
            return False
        with self._lock:
            if now < self._next_probe:
                return True
            self._next_probe = now + PROBE_INTERVAL
            return False

    def succeeded(self) -> None:
        """Note an answer of the server, be it an error of the call's own."""
        if self._failures or self._reported:
            with self._lock:
                recovered, self._reported = self._reported, False
                self._open, self._failures = False, 0
            if recovered:
                logger.info("The session store at %s is available again.", self.location)

    def failed(self, now: float, *, timed_out: bool, error: BaseException) -> None:
        """Note a call that got no answer."""
        with self._lock:
            self._failures += 1
            opens = not self._open and (timed_out or self._failures >= FAILURES_TO_OPEN)
            if opens:
                self._open = True
            if self._open:
                self._next_probe = now + PROBE_INTERVAL
        if opens:
            self.report(type(error).__name__)

    def report(self, reason: str) -> None:
        """Log that the store is unavailable: once, until it has answered again."""
        with self._lock:
            reported, self._reported = self._reported, True
        if not reported:
            logger.error("The session store at %s is unavailable: %s", self.location, reason)


_breakers: dict[str, Breaker] = {}


def breaker_for(location: str) -> Breaker:
    """Return the process' breaker of a location (a URL without its password)."""
    return _breakers.setdefault(location, Breaker(location))


def _unlock_after_fork() -> None:
    # A thread that the child does not have may hold one.
    for breaker in _breakers.values():
        breaker.unlock()


os.register_at_fork(after_in_child=_unlock_after_fork)


class Guard:
    """One call to a store: refused by the breaker, bounded by the budget, its outages told apart.

    ``with guard as seconds:`` gives the seconds that the call may take. An exception of ``outages`` leaves as
    StoreUnavailable; of these, TimeoutError and those of ``timeouts`` open the breaker at once.
    """

    __slots__ = ("_breaker", "_budget", "_outages", "_read_timeout", "_timeouts", "_total_timeout")

    def __init__(
        self,
        breaker: Breaker,
        total_timeout: float,
        read_timeout: float,
        outages: tuple[type[BaseException], ...],
        timeouts: tuple[type[BaseException], ...],
    ) -> None:
        self._breaker = breaker
        self._total_timeout = total_timeout
        self._read_timeout = read_timeout
        self._outages = outages
        self._timeouts = timeouts

    def __enter__(self) -> float:
        now = time.monotonic()
        breaker, self._budget = self._breaker, _current.get() or Budget()
        left = self._total_timeout - self._budget.start(now)
        # The budget first: a call that cannot be made must not be the second's only probe.
        if left <= 0:
            reason = f"the request's {self._total_timeout} s (TIMEOUT) are used up"
        elif breaker.refuses(now):
            reason = "it did not answer a moment ago"
        else:
            return min(left, self._read_timeout)
        self._budget.stop(now)
        raise StoreUnavailable(breaker.location, reason)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        now = time.monotonic()
        self._budget.stop(now)
        if isinstance(error, self._outages):
            timed_out = isinstance(error, self._timeouts)
            self._breaker.failed(now, timed_out=timed_out, error=error)
            raise StoreUnavailable(self._breaker.location, type(error).__name__, again=not timed_out) from error
        # An error of the call's own is an answer as well; a task that was cancelled tells nothing, and neither does
        # a call that never got as far as the server.
        if error is None or (isinstance(error, Exception) and not isinstance(error, StoreUnavailable)):
            self._breaker.succeeded()
