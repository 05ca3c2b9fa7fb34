"""Sessions in the cookie: readable by the browser's owner, not forgeable."""

from ..sessions.cookie import CookieSession


class SessionStore(CookieSession):
    """See CookieSession; authenticated with HMAC-SHA256."""

    encrypt = False
