"""What a rolled-back transaction undoes in a store that shares it: a new record, and the end of a session.

A logout is final all the same: it is repeated after the transaction.
"""

from typing import Protocol

from ..deadline import OperationOwner, as_operation
from ..keys import SessionKey
from .lifecycle import Lifecycle
from .repository import Repository


class Ended:
    """The sessions that a request has ended in a store that shares Django's transaction."""

    __slots__ = ("_keys", "_repository")

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._keys: list[SessionKey] = []

    def note(self, *keys: SessionKey) -> None:
        """Note keys of sessions that are about to end."""
        self._keys += keys

    async def end_again(self) -> None:
        """End the sessions again, in case the transaction was rolled back."""
        while self._keys:
            await self._repository.delete(self._keys.pop(), None)


class TransactedSession(OperationOwner, Protocol):
    """What these functions need of a session; ServerSession is the only implementation."""

    _session_key: str | None
    brought_key: str | None
    ended_keys: Ended | None

    @property
    def life(self) -> Lifecycle: ...


@as_operation
async def was_rolled_back(session: TransactedSession) -> bool:
    """Tell whether the record that this request has created is gone, as its transaction was rolled back."""
    return session._session_key not in (None, session.brought_key) and await session.life.was_rolled_back()


@as_operation
async def end_again(session: TransactedSession) -> None:
    """End again what a logout of this request has ended, in case a rolled-back transaction has brought it back."""
    if session.ended_keys is not None:
        await session.ended_keys.end_again()
