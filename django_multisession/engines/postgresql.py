"""Sessions in PostgreSQL, over connections of its own."""

from ..sessions.server import ServerSession
from ..stores.postgresql.store import PostgreSQLStore


class SessionStore(ServerSession):
    """See PostgreSQLStore for LOCATION and OPTIONS."""

    store_class = PostgreSQLStore
