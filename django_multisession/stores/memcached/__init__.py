"""Records in memcached."""

from .store import MemcachedStore

__all__ = ["MemcachedStore"]
