"""Carry a session from the place that FALLBACK names into a cookie, where no tombstone can be put.

So the session is not removed there at once, but ends there a minute later: requests under way still have its key, and
the response with the new cookie may be lost. The new cookie keeps that key, so that a logout can end the session there.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from ..breaker import report
from ..codec import Header
from ..cookie_codec import CookieContent
from ..exceptions import InvalidRecord, SessionNotSerializable, StoreUnavailable
from ..sessions.config import SessionConfig
from .source import Found, Source

STAYS: Final = 60
"""Seconds for which a carried session lives on there."""
CARRIED: Final = "carried"
"""The key, among the options of a body, of the session key that it had there; no cookie attribute has this name."""


class Carried:
    """A session as it was found there, for the rest of this request."""

    def __init__(self, found: Found, plaintext: bytes, *, keeps_key: bool) -> None:
        self.found = found
        self.plaintext = plaintext
        self.options: Mapping[str, Any] = {**found.options, CARRIED: found.key} if keeps_key else found.options

    def content(self) -> CookieContent:
        """Return the content that the session's cookie would have."""
        found, now = self.found, time.time()
        created_at = found.created_at or now
        header = Header.new(os.urandom(8), created_at, found.authenticated_at, now + found.age, now)
        return CookieContent(header, os.urandom(20), 0, self.plaintext)

    def age(self, age: int, plaintext: bytes) -> int:
        """Return how many seconds the session lives: an unchanged one lives no longer than it would have there."""
        return min(age, self.found.age) if plaintext == self.plaintext else age


class IntoCookies:
    """The source of a session name whose engine keeps sessions in cookies."""

    def __init__(self, config: SessionConfig, source: Source) -> None:
        self.source = source
        self._fallback = source.fallback
        self._bodies = config.bodies
        self._until = self._fallback.until.timestamp()

    @property
    def is_over(self) -> bool:
        """Whether UNTIL has passed, so that the source is no longer asked."""
        return time.time() >= self._until

    def accepts(self, value: str) -> bool:
        """Tell whether a cookie that is not ours may lead to a session there."""
        return not self.is_over and self.source.accepts(value)

    async def look(self, value: str) -> Carried | None:
        """Return the session to which a cookie leads; None if there is none. InvalidRecord if it cannot be read."""
        found = await self.source.look(value)
        if not isinstance(found, Found):
            return None
        try:
            plaintext = self._bodies.dump({}, found.data)
        except SessionNotSerializable as error:
            raise InvalidRecord(f"it comes from where its FALLBACK says, and {error}") from error
        return Carried(found, plaintext, keeps_key=not self.source.in_cookies)

    async def leave(self, carried: Carried) -> bool:
        """Let a session end there in STAYS seconds; return False if somebody has already ended it."""
        try:
            return await self.source.shorten(carried.found, STAYS)
        except StoreUnavailable as error:
            if self._fallback.required:
                raise
            report(error)
            return True

    async def end(self, options: Mapping[str, Any]) -> None:
        """End a session there, whose key is among the options of its cookie."""
        key = options.get(CARRIED)
        if key is not None and not self.is_over:
            await self.source.remove(key)
