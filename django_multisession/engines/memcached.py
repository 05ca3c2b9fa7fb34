"""Sessions in memcached servers."""

from ..sessions.server import ServerSession
from ..stores.memcached.store import MemcachedStore


class SessionStore(ServerSession):
    """See MemcachedStore for LOCATION and OPTIONS."""

    store_class = MemcachedStore
