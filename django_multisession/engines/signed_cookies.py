"""Sessions in the cookie: the browser's owner can read them, but nobody can forge them."""

from ..sessions.cookie import CookieSession


class SessionStore(CookieSession):
    """See CookieSession; authenticated with HMAC-SHA256."""

    encrypt = False
