"""What a project can listen to. Receivers that raise are logged and change nothing (send_robust).

Each signal's ``sender`` is RegisteredSession, and each has ``session_name``, ``user_id`` (the key of the user) and
``request``, None where there is none.
"""

from typing import Any

from django.dispatch import Signal

from ..bridge import driven
from .models import RegisteredSession

session_started = Signal()
"""Somebody has logged in. ``row``. Sent when record and row are written, before the cookie is sent; once for a row."""

session_rotated = Signal()
"""The key of a session has changed, or its user has logged in anew. ``row``. Sent when the old key has ended."""

session_ended = Signal()
"""A session has ended. ``row`` and ``reason``: "logout", "revoked", "evicted" by MAX_SESSIONS_PER_USER, "replaced" by
another user's login in the same browser, or "expired", which a purge finds.

Sent after the row is marked, and after the transaction in which it was; not for rows that go with their user.
"""

session_rejected = Signal()
"""A request came with a session that is not accepted. ``reason``: "forged", "unreadable" or "revoked"; ``user_id`` is
None but for the last. Not sent for a key that is not found: that is any visitor whose session has expired."""


async def send_ended(row: RegisteredSession, reason: str) -> None:
    """Tell that a session has ended outside of its own requests."""
    await send(session_ended, session_name=row.session_name, user_id=row.user_id, request=None, row=row, reason=reason)


async def send(signal: Signal, **arguments: Any) -> None:
    """Send a signal in the colour of the caller."""
    if not signal.has_listeners(RegisteredSession):
        return
    if driven():
        signal.send_robust(RegisteredSession, **arguments)
    else:
        await signal.asend_robust(RegisteredSession, **arguments)
