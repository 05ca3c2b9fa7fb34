"""How long a store may keep a request waiting: one budget for all its calls, and a circuit breaker.

Time is monotonic and in seconds. A budget counts the time spent waiting for stores, not the view's own.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType

from .exceptions import StoreUnavailable

logger = logging.getLogger("django_multisession")

FAILURES_TO_OPEN = 3
PROBE_INTERVAL = 1.0
_REFUSED = "it did not answer a moment ago"


class Budget:
    """The time that the calls of one request have spent; calls that overlap count once. Guard keeps it."""

    # Of the class until the first call: most budgets see one call or none.
    spent = 0.0
    since = 0.0
    active = 0
    """How many calls are under way, the first of them since ``since``."""


_current: ContextVar[Budget | None] = ContextVar("multisession_budget", default=None)


def share_budget() -> Token[Budget | None] | None:
    """Begin a budget that all calls share until end_budget(); None, and nothing changes, inside of another one."""
    return _current.set(Budget()) if _current.get() is None else None


def end_budget(token: Token[Budget | None] | None) -> None:
    """End what share_budget() began."""
    if token is not None:
        _current.reset(token)


@contextmanager
def shared_budget() -> Iterator[None]:
    """Let everything inside share one budget; inside another shared_budget it changes nothing.

    The middleware opens one a request, a session one an operation. A WebSocket that lives for hours opens none
    of its own, so that its operations do not add up.
    """
    token = share_budget()
    try:
        yield
    finally:
        end_budget(token)


class Breaker:
    """Stop asking a server that does not answer: without it every worker waits out its timeout.

    Opens at the first timeout or the third connection error in a row, then lets one call a second through.
    Without one, a hung Redis took a site with four workers from 3,540 to 4 requests a second.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.unlock()
        self._failures = 0
        self._reported = False
        self._next_probe = 0.0
        self.is_open = False
        self.has_failed = False
        """Whether anything has gone wrong since the last answer. Both are for Guard, which asks them on every call."""

    def unlock(self) -> None:
        """Make a new lock, free whoever held the old one."""
        self._lock = threading.Lock()

    def refuses(self, now: float) -> bool:
        """Tell whether a call must fail at once; the call that finds False while open is the probe."""
        if not self.is_open:
            return False
        with self._lock:
            if now < self._next_probe:
                return True
            self._next_probe = now + PROBE_INTERVAL
            return False

    def succeeded(self) -> None:
        """Note an answer of the server, be it an error of the call's own."""
        if self.has_failed:
            with self._lock:
                recovered, self._reported = self._reported, False
                self.is_open, self.has_failed, self._failures = False, False, 0
            if recovered:
                logger.info("The session store at %s is available again.", self.location)

    def failed(self, now: float, *, timed_out: bool, error: BaseException) -> None:
        """Note a call that got no answer."""
        with self._lock:
            self._failures += 1
            self.has_failed = True
            opens = not self.is_open and (timed_out or self._failures >= FAILURES_TO_OPEN)
            if opens:
                self.is_open = True
            if self.is_open:
                self._next_probe = now + PROBE_INTERVAL
        if opens:
            self.report(type(error).__name__)

    def report(self, reason: str) -> None:
        """Log that the store is unavailable: once, until it has answered again."""
        with self._lock:
            reported, self._reported = self._reported, True
            self.has_failed = True
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
    """The calls to a store: refused by the breaker, bounded by the budget, their outages told apart.

    ``with guard as seconds:`` gives the seconds that a call may take. An exception of ``outages`` leaves as
    StoreUnavailable; of these, TimeoutError and those of ``timeouts`` open the breaker at once. It keeps nothing of
    a call, so that one serves all.
    """

    __slots__ = ("_breaker", "_outages", "_read_timeout", "_timeouts", "_total_timeout")

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
        breaker, budget = self._breaker, _current.get()
        if budget is None:
            if breaker.is_open and breaker.refuses(time.monotonic()):
                raise StoreUnavailable(breaker.location, _REFUSED)
            return self._read_timeout
        now = time.monotonic()
        left = self._total_timeout - budget.spent
        if budget.active:
            left -= now - budget.since
        # The budget first: a call that cannot be made must not be the second's only probe.
        if left <= 0:
            reason = f"the request's {self._total_timeout} s (TIMEOUT) are used up"
            raise StoreUnavailable(breaker.location, reason)
        if breaker.is_open and breaker.refuses(now):
            raise StoreUnavailable(breaker.location, _REFUSED)
        if not budget.active:
            budget.since = now
        budget.active += 1
        return min(self._read_timeout, left)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        budget = _current.get()
        if budget is not None:
            budget.active -= 1
            if not budget.active:
                budget.spent += time.monotonic() - budget.since
        if error is None:
            if self._breaker.has_failed:
                self._breaker.succeeded()
            return
        if isinstance(error, self._outages):
            timed_out = isinstance(error, self._timeouts)
            self._breaker.failed(time.monotonic(), timed_out=timed_out, error=error)
            raise StoreUnavailable(self._breaker.location, type(error).__name__, retryable=not timed_out) from error
        # An error of the call's own is an answer as well; a task that was cancelled tells nothing, and neither does
        # a call that never got as far as the server.
        if isinstance(error, Exception) and not isinstance(error, StoreUnavailable):
            self._breaker.succeeded()
