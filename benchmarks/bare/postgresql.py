"""psycopg's Connection, autocommit and prepared, with the statements of our store."""

from __future__ import annotations

import psycopg

from benchmarks.sides import BareSide, must
from django_multisession.stores.postgresql import INSERT, READ, REPLACE


class BarePostgreSQL(BareSide):
    name = "bare psycopg, prepared"

    def __init__(self, url: str, payload: bytes, ttl: int) -> None:
        super().__init__(payload, ttl)
        self._connection = psycopg.connect(url, autocommit=True)
        self.create()

    def _execute(self, sql: str, *values: object) -> psycopg.Cursor[tuple[bytes, bytes]]:
        cursor = self._connection.cursor(binary=True)
        return cursor.execute(sql, values, prepare=True)

    def load(self) -> object:
        return self._execute(READ.sql, self.key).fetchone()

    def change(self) -> object:
        stored, expected = must(self._execute(READ.sql, self.key).fetchone())
        payload, version = self.rewritten(stored)
        values = (version, payload, self.ttl, self.key, expected)
        return must(self._execute(REPLACE.sql, *values).rowcount)

    def create(self) -> object:
        self.key = self.new_key()
        payload, version = self.rewritten(self.payload)
        return must(self._execute(INSERT.sql, self.key, version, payload, self.ttl).rowcount)

    def close(self) -> None:
        self._connection.close()
