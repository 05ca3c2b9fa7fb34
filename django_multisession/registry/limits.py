"""MAX_SESSIONS_PER_USER: a login beyond the limit is refused, or the oldest one is evicted."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import cookie_rows, rows
from .database import alias
from .models import RegisteredSession
from .policy import SessionLimitReached


def start(row: RegisteredSession, since: datetime | None, limit: int | None, *, in_cookie: bool) -> str | None:
    """Write the row of a login; return its key, or None if the user is gone or was revoked ``since``.

    After a double click on a login in a cookie, it is the key of the first one. With a limit, raises
    SessionLimitReached if the user already has as many sessions.
    """
    may_be_second = in_cookie and row.previous_key
    try:
        if limit is None and not may_be_second:
            return _inserted(row, since)
        with transaction.atomic(alias()):
            rows.lock(row.user_id)
            if may_be_second and (first := cookie_rows.begun(row)) is not None:
                return first
            if limit is not None and _others(row).count() >= limit:
                raise SessionLimitReached(
                    f"The user has {limit} sessions, as many as MAX_SESSIONS_PER_USER of session "
                    f"{row.session_name!r} allows. One of them has to end first."
                )
            return _inserted(row, since)
    except IntegrityError:
        return None  # its user is gone, which some databases find when the transaction commits


def _inserted(row: RegisteredSession, since: datetime | None) -> str | None:
    if not rows.insert(row):
        return None
    # After the insertion, which waits for a revocation under way: either that has seen the row, or it is seen here.
    if since is not None and rows.is_refused(row.user_id, since):
        rows.forget(row)
        return None
    return row.storage_key


def _others(row: RegisteredSession) -> QuerySet[RegisteredSession]:
    """Return the live rows that count for the limit beside a new one."""
    others = rows.living().filter(user=row.user_id, session_name=row.session_name, expires_at__gt=timezone.now())
    if row.previous_key:
        # After a double click, one of the two logins will join the other.
        others = others.exclude(previous_key=row.previous_key)
    # The session before the login may still have a row: one that is set aside for a new password.
    return others.exclude(storage_key__in=[key for key in (row.storage_key, row.previous_key) if key])


def evict(row: RegisteredSession, limit: int) -> list[RegisteredSession]:
    """Revoke the sessions of a row's user beyond the limit, the oldest logins first; return them.

    Never the row itself, even if all other logins are newer. Nothing is revoked if the row has ended by now.
    """
    with transaction.atomic(alias()):
        rows.lock(row.user_id)
        if not rows.living().filter(pk=row.pk).exists():
            return []
        return rows.revoke([one.pk for one in _others(row).order_by("-authenticated_at", "-pk")[limit - 1 :]])
