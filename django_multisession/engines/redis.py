"""Sessions in a Redis or Valkey server."""

from ..sessions.server import ServerSession
from ..stores.redis.store import RedisStore


class SessionStore(ServerSession):
    """See RedisStore for LOCATION and OPTIONS."""

    store_class = RedisStore
