"""Check whether a session's login still fits its user's password, as django.contrib.auth.get_user() does."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils.crypto import constant_time_compare

from ..bridge import driven


async def is_outdated(data: Mapping[str, Any]) -> bool:
    """Tell whether the user of this session has changed the password since the login.

    False if nobody is logged in, if there is no such user, and if the database does not answer.
    """
    # Imported once all apps are ready.
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend

    path: Any = data.get(BACKEND_SESSION_KEY)
    hashed = data.get(HASH_SESSION_KEY)
    if not hashed or SESSION_KEY not in data or path not in settings.AUTHENTICATION_BACKENDS:
        return False
    backend: Any = load_backend(path)
    key: Any = get_user_model()._meta.pk
    user_id = key.to_python(data[SESSION_KEY])
    try:
        user = backend.get_user(user_id) if driven() else await backend.aget_user(user_id)
    except DatabaseError:
        return False
    if not hasattr(user, "get_session_auth_hash"):
        return False
    valid = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return not any(constant_time_compare(hashed, one) for one in valid)
