"""The row of a login, as far as the user's other sessions count: refused, or in the place of the oldest one."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import cookie_rows, rows
from .database import alias
from .models import RegisteredSession
from .policy import SessionLimitReached


def start(row: RegisteredSession, since: datetime | None, limit: int | None, *, in_cookie: bool) -> str | None:
    """Write the row of a login; return the key that it stands under, None if its user is gone or was revoked ``since``.

    That key is the row's, but where somebody has clicked twice on a login that is kept in a cookie. With a limit,
    raises SessionLimitReached if the user has as many sessions already.
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
    # After the row is there, for which it has waited for a revocation under way: that has seen the row, or is seen.
    if since is not None and rows.is_refused(row.user_id, since):
        rows.forget(row)
        return None
    return row.storage_key


def _others(row: RegisteredSession) -> QuerySet[RegisteredSession]:
    """Return the live rows that count for the limit beside a new one."""
    others = rows.living().filter(user=row.user_id, session_name=row.session_name, expires_at__gt=timezone.now())
    if row.previous_key:
        # A login that was clicked twice: one of the two will join the other.
        others = others.exclude(previous_key=row.previous_key)
    # The session that the login has left may be there for a while: one that is set aside for a new password.
    return others.exclude(storage_key__in=[key for key in (row.storage_key, row.previous_key) if key])


def evict(row: RegisteredSession, limit: int) -> list[RegisteredSession]:
    """Revoke those sessions of a row's user that are too many, the oldest logins first; return them.

    Never the row itself, even where all other logins are newer: their rows were written first. Nothing is revoked if
    the row has ended by now.
    """
    with transaction.atomic(alias()):
        rows.lock(row.user_id)
        if not rows.living().filter(pk=row.pk).exists():
            return []
        return rows.revoke([one.pk for one in _others(row).order_by("-authenticated_at", "-pk")[limit - 1 :]])
