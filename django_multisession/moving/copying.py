"""Copy the records of one of our engines to another one as they are: nobody but the visitors knows their session keys.

That works if both places derive the same storage key from a session key, and use the same secrets.
"""

import time

from ..codec import Header
from ..exceptions import InvalidRecord
from .places import Places
from .source import BY_ITSELF
from .sources.own import OwnSource


class Copier:
    """Copies records by their storage keys, and removes them there."""

    def __init__(self, places: Places, source: OwnSource) -> None:
        self._here = places.store
        self._there = source.records.store
        self._keyring = places.keyring
        self._is_alike = places.key("a" * 32).storage_key == source.records.key("a" * 32).storage_key

    @property
    def why_not(self) -> str:
        """Why records cannot be copied, as a sentence without its full stop; empty if they can."""
        if self._is_alike:
            return ""
        return (
            "it holds hashes of session keys only, made with another KEY_PREFIX, so that nobody can tell what they "
            f"would be here: {BY_ITSELF}"
        )

    async def copy(self, storage_key: str, *, dry_run: bool) -> bool | None:
        """Move one record; return True if it was moved, False if it is here already, None if it has ended."""
        record = await self._there.read(storage_key)
        if record is None:
            return None
        header = Header.unpack(record.payload)
        if self._keyring.find(header.kid) is None:
            raise InvalidRecord("sealed with a secret that is not among KEYS, or SECRET_KEY and its fallbacks, here")
        age = int(header.expires_at - time.time())
        if age < 1:
            return None
        if dry_run:
            return not await self._here.exists([storage_key])
        token = await self._here.insert(storage_key, record.payload, age, header.version)
        if token is None:
            here = await self._here.read(storage_key)
            # With the same version, another walk may be about to remove it there, and would take this for a logout.
            if here is not None and Header.unpack(here.payload).version != header.version:
                await self._there.delete(storage_key, record.token)
            return False
        if await self._there.delete(storage_key, record.token):
            return True
        # It was changed or ended there meanwhile, so what was inserted is outdated.
        await self._here.delete(storage_key, token)
        return None if await self._there.read(storage_key) is None else await self.copy(storage_key, dry_run=False)
