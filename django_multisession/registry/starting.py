"""A new login, from its row until it is certain; then older ones may have to be evicted."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import DatabaseError, transaction

from ..breaker import warn
from ..conf import entry
from ..exceptions import StoreUnavailable
from . import limits, pending, rows, signals
from .database import alias, ask, at, in_transaction
from .models import RegisteredSession


class Start:
    """The new login of one session object, if it has one."""

    def __init__(self, session_name: str) -> None:
        self._name = session_name
        self._row: RegisteredSession | None = None
        self._waiting: RegisteredSession | None = None
        self.since: float | None = None
        """When django.contrib.auth signalled the login, or this request revoked all other sessions of its user."""

    async def write(self, row: RegisteredSession, *, in_cookie: bool) -> str | None:
        """Write the row; return the key of the login, or None if it is refused. See limits.start()."""
        configured, since = entry(self._name), None if self.since is None else at(self.since)
        limit = configured.max_sessions_per_user if configured.on_max_sessions == "refuse" else None
        key = await ask(partial(limits.start, row, since, limit, in_cookie=in_cookie))
        if key == row.storage_key:
            self._row = row
        return key

    async def waits_with(self, row: RegisteredSession, then: Callable[[], None]) -> bool:
        """If the caller is in a transaction, write the row when it commits; tell whether there is one.

        Then call a function. The row is not written if a later one has replaced it by then, or after a rollback.
        """
        return await ask(partial(self._waits_with, row, then))

    def _waits_with(self, row: RegisteredSession, then: Callable[[], None]) -> bool:
        if not in_transaction():
            return False

        def write() -> None:
            if self._waiting is row:
                self._waiting = None
                if rows.insert(row):
                    then()

        self._waiting = row
        transaction.on_commit(write, using=alias(), robust=True)
        return True

    def forget(self, keys: list[str]) -> None:
        """Drop a waiting row whose session has ended."""
        if self._waiting is not None and self._waiting.storage_key in keys:
            self._waiting = None

    def take(self) -> RegisteredSession | None:
        """Return the row that was written, the first time only."""
        row, self._row = self._row, None
        return row

    async def evict(self, row: RegisteredSession, tell: Callable[..., Any]) -> None:
        """End the oldest logins of the user beyond the limit, now that this one is certain."""
        limit = entry(self._name).max_sessions_per_user
        if limit is None:
            return
        try:
            evicted = await ask(partial(limits.evict, row, limit))
            await pending.delete(key for one in evicted for key in rows.keys_of(one))
        except (StoreUnavailable, DatabaseError) as error:
            warn("Sessions that are too many could not be deleted yet: %s", error)
            return
        for one in evicted:
            await tell(signals.session_ended, row=one, user_id=one.user_id, reason="evicted")
