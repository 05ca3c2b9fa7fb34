"""Sessions in this process' memory, for tests and demos."""

from ..sessions.server import ServerSession
from ..stores.memory import MemoryStore


class SessionStore(ServerSession):
    """See MemoryStore: sessions end with the process, and other processes do not see them."""

    store_class = MemoryStore
