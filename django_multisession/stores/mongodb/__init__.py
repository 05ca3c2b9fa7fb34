"""Records in MongoDB."""

from .store import MongoDBStore

__all__ = ["MongoDBStore"]
