"""What a rolled-back transaction undoes in a store that shares it: the end of a session, and a new record.

A logout is final all the same: it is made anew after the transaction.
"""

from typing import Protocol

from ..deadline import OperationOwner, as_operation
from ..keys import SessionKey
from .lifecycle import Lifecycle
from .repository import Repository


class Ended:
    """What a request has ended in a store that shares Django's transaction."""

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
            await self._repository.delete(self._keys.pop(), None)


class TransactedSession(OperationOwner, Protocol):
    """What is asked of a session: see ServerSession, whose only implementation it is."""

    _session_key: str | None
    brought_key: str | None
    ended: Ended | None

    @property
    def life(self) -> Lifecycle: ...


@as_operation
async def was_rolled_back(session: TransactedSession) -> bool:
    """Tell whether the record that this request has made is gone with the transaction in which it was made."""
    return session._session_key not in (None, session.brought_key) and await session.life.was_rolled_back()


@as_operation
async def end_again(session: TransactedSession) -> None:
    """End anew what a logout of this request has ended, if a rolled-back transaction has brought it back."""
    if session.ended is not None:
        await session.ended.end_again()
