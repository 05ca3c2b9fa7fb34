"""Flashes: values that wait in the session for the next page, and are gone once read."""

from typing import Any

from django.contrib.sessions.backends.base import SessionBase

FLASH_KEY = "_flash"


class Flashes(SessionBase):
    """Those that concurrent requests add are all kept, whatever MERGE says of other keys."""

    def add_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """Append a value, which the serializer must know, to the flashes under key."""
        self._note_flashes(key)
        self[key] = [*self.get(key, ()), value]

    async def aadd_flash(self, value: Any, key: str = FLASH_KEY) -> None:
        """See add_flash()."""
        self._note_flashes(key)
        await self.aset(key, [*await self.aget(key, ()), value])

    def flashes(self, key: str = FLASH_KEY) -> list[Any]:
        """Return the flashes under key, the oldest first, and forget them; an empty list if there are none."""
        self._note_flashes(key)
        return list(self.pop(key, ()))

    async def aflashes(self, key: str = FLASH_KEY) -> list[Any]:
        """See flashes()."""
        self._note_flashes(key)
        return list(await self.apop(key, ()))

    def flash_keys(self) -> frozenset[str]:
        """Return the keys under which this request has added or read flashes."""
        return frozenset(self.__dict__.get("_flash_keys", ()))

    def _note_flashes(self, key: str) -> None:
        self.__dict__.setdefault("_flash_keys", set()).add(key)
