"""Sessions in the cookie: neither readable nor forgeable."""

from ..sessions.cookie import CookieSession


class SessionStore(CookieSession):
    """See CookieSession; sealed with AES-256-GCM."""

    encrypt = True
