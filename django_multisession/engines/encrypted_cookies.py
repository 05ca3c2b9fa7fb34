"""Sessions in the cookie: nobody but the site can read or forge them."""

from ..sessions.cookie import CookieSession


class SessionStore(CookieSession):
    """See CookieSession; sealed with AES-256-GCM."""

    encrypt = True
