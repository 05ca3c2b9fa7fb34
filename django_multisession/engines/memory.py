"""Sessions in this process' memory, for tests and demos."""

from ..sessions.server import ServerSession
from ..stores.memory import MemoryStore


class SessionStore(ServerSession):
    """See MemoryStore: gone with the process, and unknown to other processes."""

    store_class = MemoryStore
