"""Logins in the place that a FALLBACK names, if they get another storage key here: an ended one must not be carried.

Their rows have the storage keys, or the sids, that they have there.
"""

from datetime import datetime, timedelta
from functools import partial

from django.db import DatabaseError
from django.utils import timezone

from ..breaker import warn
from ..envelope import REGISTERED
from ..exceptions import StoreUnavailable
from ..sessions.registration import StoredLogin
from .cookie_rows import was_admitted, was_left
from .database import alias, ask, at
from .models import RegisteredSession
from .new_rows import row_of
from .rows import is_refused, living


class FormerLogins:
    """A Former of sessions/registration.py."""

    async def may_come(self, session_name: str, found: StoredLogin) -> bool:
        row = row_of(session_name, found, None, {})
        if row is None:
            return True  # nobody is logged in, or no user of this project
        since, is_marked = found.header.authenticated_at, bool(found.header.flags & REGISTERED)
        return await ask(partial(_lives, row, at(since) if since else None, is_marked=is_marked))

    async def leave(self, key: str, seconds: int = 0) -> None:
        try:
            await ask(partial(_end, key, seconds))
        except (StoreUnavailable, DatabaseError) as error:
            warn("The registry could not be written: %s", error)  # the session was already carried, or has ended


def _lives(row: RegisteredSession, authenticated_at: datetime | None, *, is_marked: bool) -> bool:
    found = RegisteredSession.objects.using(alias()).filter(storage_key=row.storage_key).first()
    if found is not None:
        lives = found.revoked_at is None or found.revoked_at > timezone.now()  # see _end()
        return lives and found.user_id == row.user_id
    has_ended = is_marked or was_left(row.storage_key) or was_admitted(row.storage_key)
    return not (has_ended or is_refused(row.user_id, authenticated_at))


def _end(key: str, seconds: int) -> None:
    # It is no longer listed from now on: the session has another row.
    living().filter(storage_key=key).update(revoked_at=timezone.now() + timedelta(seconds=seconds))
