"""Records in PostgreSQL, over connections of their own."""

from .store import PostgreSQLStore

__all__ = ["PostgreSQLStore"]
