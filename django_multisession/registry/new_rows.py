"""Make the row of a login from its stored session and from its request."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from ..sessions.registration import StoredLogin
from .clients import address_of, agent_of
from .database import at
from .models import RegisteredSession


def row_of(
    session_name: str, now: StoredLogin, request: Any, description: Mapping[str, str]
) -> RegisteredSession | None:
    """Return an unsaved row for a stored session; None if nobody is logged in, or no user of this project."""
    if now.user is None:
        return None
    try:
        user: Any = get_user_model()._meta.pk.to_python(now.user)
    except ValidationError:
        return None
    header = now.header
    return RegisteredSession(
        storage_key=now.key,
        session_name=session_name,
        user_id=user,
        created_at=at(header.created_at or header.issued_at),
        authenticated_at=at(header.authenticated_at or header.created_at or header.issued_at),
        last_seen=at(header.issued_at),
        expires_at=at(header.expires_at),
        ip_address=None if request is None else address_of(request),
        user_agent="" if request is None else agent_of(request),
        **description,
    )
