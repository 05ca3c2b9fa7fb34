"""The bare client libraries, moving as many bytes with as many commands: what no engine can be much faster than.

Each writes by compare-and-swap, as our stores do, for an unconditional write would bring a deleted session back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

TTL = 1_209_600
"""Seconds that records live: Django's SESSION_COOKIE_AGE."""


class BareSide:
    """A client with a record of a certain size."""

    def __init__(self, client: Any, size: int) -> None:
        self.client = client
        self.record = os.urandom(size)
        self.prepare()
        self.key = self.create()

    def prepare(self) -> None:
        """Make what the server needs."""

    def create(self, key: str = "") -> str:
        """See Side, for this and what else a client defines."""
        raise NotImplementedError

    @staticmethod
    def new_key() -> str:
        """Return a key as long as ours."""
        return os.urandom(20).hex()

    @staticmethod
    def changed(record: bytes) -> bytes:
        """Return a record of the same length that begins with another version."""
        return os.urandom(8) + record[8:]


def must(done: Any) -> Any:
    """Return what a command returned; RuntimeError if it did nothing, for that would be no comparison."""
    if not done:
        raise RuntimeError("The bare client's command was refused.")
    return done


class BareRedis(BareSide):
    """redis-py with its default pool and retries."""

    name = "bare redis-py"

    def prepare(self) -> None:
        swap = (
            "if redis.call('GETRANGE', KEYS[1], 0, 7) == ARGV[1] then return redis.call('SET', KEYS[1], ARGV[2], "
            "'EX', ARGV[3]) end"
        )
        self._swap = self.client.register_script(swap)
        version = self.client.info("server")["redis_version"]
        self._knows_ifeq = tuple(map(int, version.split(".")[:2])) >= (8, 4)

    def load(self, key: str) -> object:
        return must(self.client.get(key))

    def change(self, key: str) -> object:
        record = must(self.client.get(key))
        if self._knows_ifeq:
            return must(self.client.execute_command("SET", key, self.changed(record), "IFEQ", record, "EX", TTL))
        return must(self._swap(keys=[key], args=[record[:8], self.changed(record), TTL]))

    def create(self, key: str = "") -> str:
        key = self.new_key()
        must(self.client.set(key, self.record, nx=True, ex=TTL))
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self.client.delete(*keys)


class BareMemcached(BareSide):
    """pymemcache's Client: one connection, no locks, no serializers."""

    name = "bare pymemcache"

    def load(self, key: str) -> object:
        return must(self.client.gets(key)[0])

    def change(self, key: str) -> object:
        record, token = self.client.gets(key)
        return must(self.client.cas(key, self.changed(record), token, TTL))

    def create(self, key: str = "") -> str:
        key = self.new_key()
        must(self.client.add(key, self.record, TTL))
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self.client.delete_many(list(keys))


class BarePostgreSQL(BareSide):
    """A psycopg connection, autocommit, with prepared statements."""

    name = "bare psycopg"

    def prepare(self) -> None:
        self._execute("CREATE TABLE IF NOT EXISTS bare (key text PRIMARY KEY, record bytea, expires timestamptz)")

    def _execute(self, sql: str, *values: object) -> Any:
        return self.client.cursor(binary=True).execute(sql, values, prepare=True)

    def load(self, key: str) -> object:
        return must(self._execute("SELECT record FROM bare WHERE key = %s AND expires > now()", key).fetchone())

    def change(self, key: str) -> object:
        (record,) = must(self._execute("SELECT record FROM bare WHERE key = %s AND expires > now()", key).fetchone())
        sql = "UPDATE bare SET record = %s, expires = now() + %s * interval '1 s' WHERE key = %s AND record = %s"
        return must(self._execute(sql, self.changed(record), TTL, key, record).rowcount)

    def create(self, key: str = "") -> str:
        key = self.new_key()
        sql = "INSERT INTO bare VALUES (%s, %s, now() + %s * interval '1 s') ON CONFLICT DO NOTHING"
        must(self._execute(sql, key, self.record, TTL).rowcount)
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self._execute("DELETE FROM bare WHERE key = ANY(%s)", list(keys))
