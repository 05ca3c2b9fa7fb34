"""Flashes: values that wait in the session for the next page, and are gone once read.

Those that concurrent requests add are all kept, whatever MERGE says of other keys: a session knows under which keys
its request has added or read any.
"""

from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase

FLASH_KEY: Final = "_flash"


class WithFlashes(SessionBase):
    """A session that keeps flashes among its data, as lists under keys of their own."""

    flash_keys: frozenset[str] = frozenset()
    """The keys under which this request has added or read flashes."""

    def add_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """Append a value, which the serializer must know, to the flashes under key."""
        self.flash_keys |= {key}
        self[key] = [*self.get(key, ()), value]

    async def aadd_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """See add_flash()."""
        self.flash_keys |= {key}
        await self.aset(key, [*await self.aget(key, ()), value])

    def flashes(self, key: str = FLASH_KEY) -> list[Any]:
        """Return the flashes under key, the oldest first, and forget them; an empty list if there are none."""
        self.flash_keys |= {key}
        return list(self.pop(key, ()))

    async def aflashes(self, key: str = FLASH_KEY) -> list[Any]:
        """See flashes()."""
        self.flash_keys |= {key}
        return list(await self.apop(key, ()))
