"""What a project calls: a user's sessions, and their end."""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.utils import timezone

from ..exceptions import MultisessionError
from .models import RegisteredSession


class NotRevocable(MultisessionError):
    """The session lives in a cookie that nobody asks the registry about: set REVOCABLE of its entry."""


def sessions_of(user: AbstractBaseUser, request: HttpRequest | None = None) -> list[RegisteredSession]:
    """Return the live sessions of a user, the latest login first.

    With a request, the session that it came with has ``current`` set.
    """
    return list(
        RegisteredSession.objects.filter(user=user.pk, revoked_at=None, expires_at__gt=timezone.now()).order_by(
            "-authenticated_at", "-pk"
        )
    )


def revoke(row: RegisteredSession) -> int:
    """End one session; return 1, or 0 if it had ended before.

    Raises StoreUnavailable, after it is marked, if its record could not be deleted yet.
    """
    raise NotImplementedError


def revoke_all(user: AbstractBaseUser, keep: HttpRequest | None = None) -> int:
    """End all sessions of a user, but for that of the request ``keep``; return how many. See revoke()."""
    raise NotImplementedError


def revoke_where(**filters: Any) -> int:
    """End all live sessions that RegisteredSession.objects.filter() finds; return how many. See revoke()."""
    raise NotImplementedError


asessions_of = sync_to_async(sessions_of)
arevoke = sync_to_async(revoke)
arevoke_all = sync_to_async(revoke_all)
arevoke_where = sync_to_async(revoke_where)
