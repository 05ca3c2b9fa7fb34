"""Check whether a session's login still fits its user's password, as django.contrib.auth.get_user() does."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.utils.crypto import constant_time_compare

from ..bridge import driven

_HASH = "_auth_user_hash"


async def is_outdated(data: Mapping[str, Any]) -> bool:
    """Tell whether the user of this session has changed the password since the login.

    False if nobody is logged in, if there is no such user, and if the database does not answer.
    """
    hashed = data.get(_HASH)
    try:
        user = await _user_of(data) if hashed else None
    except DatabaseError:
        return False
    return hasattr(user, "get_session_auth_hash") and not _fits(user, hashed)


async def is_current(data: Mapping[str, Any]) -> bool:
    """Tell whether django.contrib.auth lets in the user of this session; False if the database does not answer."""
    hashed = data.get(_HASH)
    try:
        user = None if hashed is None else await _user_of(data)
    except (DatabaseError, ValidationError):
        return False
    return user is not None and (not hasattr(user, "get_session_auth_hash") or _fits(user, hashed))


async def _user_of(data: Mapping[str, Any]) -> Any:
    # Imported once all apps are ready.
    from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY, get_user_model, load_backend

    path: Any = data.get(BACKEND_SESSION_KEY)
    if data.get(SESSION_KEY) is None or path not in settings.AUTHENTICATION_BACKENDS:
        return None
    backend: Any = load_backend(path)
    key: Any = get_user_model()._meta.pk
    user_id = key.to_python(data[SESSION_KEY])
    return backend.get_user(user_id) if driven() else await backend.aget_user(user_id)


def _fits(user: Any, hashed: Any) -> bool:
    valid = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(hashed, one) for one in valid)
