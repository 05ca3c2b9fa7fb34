"""Flashes: values that wait in the session for the next page, and are gone once read.

Flashes that concurrent requests add are all kept: a session remembers under which keys this request has added or read
any, and merges these by appending.
"""

from typing import Any, Final

FLASH_KEY: Final = "_flash"


class FlashBag:
    """The flashes among the data of one session, as lists under keys of their own."""

    __slots__ = ("keys",)

    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()
        """The keys under which this request has added or read flashes."""

    def added(self, value: Any, key: str, found: Any) -> list[Any]:
        """Return the new list of flashes under key: those found there, and one more value."""
        self.keys |= {key}
        return [*found, value]

    def taken(self, key: str, found: Any) -> list[Any]:
        """Return the flashes found under key as a list, the oldest first; the caller removes them from the session."""
        self.keys |= {key}
        return list(found)
