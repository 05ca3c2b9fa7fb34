"""Rows of the registry as logins would have made them, for what only looks at rows."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from django_multisession.registry.models import RegisteredSession

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


def row_of(user: User, **values: Any) -> RegisteredSession:
    """Make a live session of a user, that no store knows of."""
    now = timezone.now()
    fields: dict[str, Any] = {
        "storage_key": secrets.token_hex(20),
        "session_name": "default",
        "created_at": now,
        "authenticated_at": now,
        "last_seen": now,
        "expires_at": now + timedelta(days=1),
        "user_agent": FIREFOX,
    }
    return RegisteredSession.objects.create(user=user, **{**fields, **values})
