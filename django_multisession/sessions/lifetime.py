"""How long a session lives: its own expiry or its cookie's age, bounded by IDLE_TIMEOUT and ABSOLUTE_TIMEOUT.

Durations are in seconds, moments in seconds since 1970. Why cookie sessions have an end by default: decisions.md, D35.
"""

from typing import Any, NamedTuple

from ..codec import Header
from ..conf import Entry
from ..envelope import SKEW


class Origin(NamedTuple):
    """What a session continues: the header and the user that it was loaded with."""

    header: Header | None = None
    user: Any = None

    def begun(self, user: Any, now: float) -> float:
        """Return when the session was created or, if that was later, its user logged in."""
        if self.header is None or (user is not None and user != self.user):
            return now
        return max(self.header.created_at, self.header.authenticated_at)


class Lifetime:
    """The limits of one session name. ``always_ends`` is for cookies, which by default cannot be revoked."""

    def __init__(self, entry: Entry, *, always_ends: bool) -> None:
        self._idle = entry.idle_timeout
        self._absolute = entry.absolute_timeout
        self._by_default = always_ends and entry.absolute_timeout is None
        self.is_unlimited = self._idle is None and not self._absolute and not self._by_default

    def absolute(self, expiry: Any, cookie_age: int) -> float | None:
        """Return how many seconds a session with this set_expiry() may live in all; None for no limit.

        By default a cookie session may live for twice the larger of the cookie's age and set_expiry(); one with a date
        as its expiry needs no other limit.
        """
        if self._by_default:
            return None if expiry and not isinstance(expiry, int) else 2 * max(cookie_age, expiry or 0)
        return self._absolute or None

    def bounded(self, age: int, begun: float, now: float, expiry: Any, cookie_age: int) -> int:
        """Return ``age``, the seconds that a session would live from now on, reduced to what the limits allow."""
        if self._idle is not None:
            age = min(age, int(self._idle))
        absolute = self.absolute(expiry, cookie_age)
        return age if absolute is None else min(age, max(int(begun + absolute - now), 0))

    def is_over(self, header: Header, now: float, expiry: Any, cookie_age: int) -> bool:
        """Tell whether a session has exceeded the absolute limit, by the settings as they are now."""
        absolute = self.absolute(expiry, cookie_age)
        return absolute is not None and now > max(header.created_at, header.authenticated_at) + absolute + SKEW
