"""Sessions in MongoDB."""

from ..sessions.server import ServerSession
from ..stores.mongodb.store import MongoDBStore


class SessionStore(ServerSession):
    """See MongoDBStore for LOCATION and OPTIONS."""

    store_class = MongoDBStore
