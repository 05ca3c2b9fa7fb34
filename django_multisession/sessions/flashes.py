"""Flashes: values that wait in the session for the next page, and are gone once read."""

from collections.abc import Iterable
from typing import Any, Final

FLASH_KEY: Final = "_flash"


class FlashBag:
    """The keys under which a request has added or read flashes.

    Those that concurrent requests add are all kept, whatever MERGE says of other keys.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def added(self, key: str, waiting: Iterable[Any], value: Any) -> list[Any]:
        """Return what is to wait under key once value has been added."""
        self.keys.add(key)
        return [*waiting, value]

    def taken(self, key: str, waiting: Iterable[Any]) -> list[Any]:
        """Return what waited under key, the oldest first."""
        self.keys.add(key)
        return list(waiting)
