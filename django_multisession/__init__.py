"""Session engines for Django: Redis, Memcached, MongoDB, PostgreSQL, any database, or the cookie."""

__version__ = "0.1.0"
