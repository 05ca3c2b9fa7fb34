"""Sessions in any database of DATABASES, through Django's ORM and its transactions."""

from ..sessions.server import ServerSession
from ..stores.db import DatabaseStore


class SessionStore(ServerSession):
    """See DatabaseStore for LOCATION."""

    store_class = DatabaseStore
