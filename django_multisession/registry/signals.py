"""The signals of the registry. Errors of receivers are logged, and change nothing (send_robust).

The ``sender`` is RegisteredSession. Each signal has ``session_name``, ``user_id`` (the user's primary key) and
``request``, which is None outside of requests.
"""

from typing import Any

from django.dispatch import Signal

from ..bridge import driven
from .models import RegisteredSession

session_started = Signal()
"""Somebody has logged in; has ``row``. Sent once for each row, after record and row are written, before the cookie."""

session_rotated = Signal()
"""A session's key has changed, or its user has logged in again; has ``row``. Sent after the old key has ended."""

session_ended = Signal()
"""A session has ended; has ``row`` and ``reason``: "logout", "revoked", "evicted" by MAX_SESSIONS_PER_USER, "replaced"
by another user's login in the same browser, or "expired", when it is purged.

Sent after the row is marked, and after the transaction for that; not for rows that are deleted with their user.
"""

session_rejected = Signal()
"""A request's session was rejected; has ``reason``: "forged", "unreadable" or "revoked"; ``user_id`` is None except for
the last. Not sent for an unknown key, with which any visitor comes whose session has expired."""


async def send_ended(row: RegisteredSession, reason: str) -> None:
    """Send session_ended for a session that has ended outside of its own requests."""
    await send(session_ended, session_name=row.session_name, user_id=row.user_id, request=None, row=row, reason=reason)


async def send(signal: Signal, **arguments: Any) -> None:
    """Send a signal in the colour of the caller."""
    if not signal.has_listeners(RegisteredSession):
        return
    if driven():
        signal.send_robust(RegisteredSession, **arguments)
    else:
        await signal.asend_robust(RegisteredSession, **arguments)
