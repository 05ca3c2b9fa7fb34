"""Flashes: values that wait in the session for the next page, and are gone once read.

Those that concurrent requests add are all kept, whatever MERGE says of other keys: a session knows under which keys
its request has added or read any.
"""

from typing import Any, Final

FLASH_KEY: Final = "_flash"


class FlashBag:
    """The flashes among the data of one session, as lists under keys of their own."""

    __slots__ = ("keys",)

    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()
        """Those under which this request has added or read flashes."""

    def added(self, value: Any, key: str, found: Any) -> list[Any]:
        """Return what is to be kept under key, given what was found there, with a value that is new."""
        self.keys |= {key}
        return [*found, value]

    def taken(self, key: str, found: Any) -> list[Any]:
        """Return what was found under key, the oldest first; it is kept no longer."""
        self.keys |= {key}
        return list(found)
