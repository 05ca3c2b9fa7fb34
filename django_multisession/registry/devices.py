"""A user's sessions as devices, and how users end them: shared by the pages and the JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import logout
from django.http import Http404, HttpRequest

from ..conf import DEFAULT
from ..exceptions import StoreUnavailable
from .agents import words_of
from .models import RegisteredSession
from .revocation import revoke, revoke_all, sessions_of


@dataclass(frozen=True, slots=True)
class Device:
    """One session of a user, as it is shown; it holds no key."""

    id: UUID
    name: str
    """Such as "Firefox on Windows"."""
    label: str
    session: str
    """The session name, "default" for ``request.session``."""
    address: str | None
    signed_in: datetime
    last_seen: datetime
    expires: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of ending sessions."""

    count: int = 0
    pending: bool = False
    """Whether the store did not answer: the sessions are marked, and end once it does."""
    logged_out: bool = False
    """Whether the session of this request was among them."""


def devices_of(request: HttpRequest) -> Iterator[Device]:
    """Yield the devices of the request's user, the request's own first."""
    rows = sessions_of(_user(request), request)
    for row in sorted(rows, key=lambda row: not row.current):
        yield Device(
            id=row.public_id,
            name=words_of(row.user_agent),
            label=row.label,
            session=row.session_name,
            address=row.ip_address,
            signed_in=row.authenticated_at,
            last_seen=row.last_seen,
            expires=row.expires_at,
            current=row.current,
        )


def end(request: HttpRequest, public_id: UUID) -> Ended:
    """End one session of the request's user. Http404 for another user's, and for one that has ended.

    Raises NotRevocable for a session in a cookie without REVOCABLE.
    """
    row = one_of(request, public_id)
    if is_own_login(row):
        logout(request)
        return Ended(1, logged_out=True)
    try:
        return Ended(revoke(row))
    except StoreUnavailable:
        return Ended(pending=True)


def end_others(request: HttpRequest) -> Ended:
    """End all sessions of the request's user except the request's own."""
    try:
        return Ended(revoke_all(_user(request), keep=request))
    except StoreUnavailable:
        return Ended(pending=True)


def one_of(request: HttpRequest, public_id: UUID) -> RegisteredSession:
    """Return the live session of the request's user that has this public id; Http404 if there is none."""
    for row in sessions_of(_user(request), request):
        if row.public_id == public_id:
            return row
    raise Http404


def is_own_login(row: RegisteredSession) -> bool:
    """Tell whether a session is the request's own login, its default session."""
    return row.current and row.session_name == DEFAULT


def _user(request: HttpRequest) -> Any:
    return request.user
