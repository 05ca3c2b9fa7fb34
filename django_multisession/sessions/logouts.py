"""A logout is final, also where its transaction is rolled back."""

from ..keys import SessionKey
from .repository import Repository


class Logouts:
    """What the logouts of a request have ended in a store that shares Django's transaction."""

    __slots__ = ("_keys", "_repository")

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._keys: list[SessionKey] = []

    def note(self, *keys: SessionKey) -> None:
        """Note keys that are about to be ended."""
        self._keys += keys

    async def end_again(self) -> None:
        """End anew, after the transaction, what has come back with it."""
        while self._keys:
            await self._repository.end(self._keys.pop(), None)
