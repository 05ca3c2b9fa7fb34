"""psycopg's connections, autocommit and prepared, with the statements of our store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import psycopg

from benchmarks.sides import BareSide, must
from django_multisession.stores.postgresql.store import INSERT, READ, REPLACE

_Row = tuple[bytes, bytes]
_DELETE = "DELETE FROM multisession_record WHERE key = ANY(%s)"


class BarePostgreSQL(BareSide):
    name = "bare psycopg, prepared"

    def __init__(self, url: str, record: bytes, ttl: int) -> None:
        super().__init__(record, ttl)
        self._connection = psycopg.connect(url, autocommit=True)

    def _execute(self, sql: str, *values: object) -> psycopg.Cursor[_Row]:
        cursor = self._connection.cursor(binary=True)
        return cursor.execute(sql, values, prepare=True)

    def load(self, key: str) -> object:
        return self._execute(READ.sql, key).fetchone()

    def change(self, key: str) -> object:
        stored, expected = must(self._execute(READ.sql, key).fetchone())
        record, version = self.rewritten(stored)
        return must(self._execute(REPLACE.sql, version, record, self.ttl, key, expected).rowcount)

    def create(self, _key: str) -> str:
        key = self.new_key()
        record, version = self.rewritten(self.record)
        must(self._execute(INSERT.sql, key, version, record, self.ttl).rowcount)
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self._execute(_DELETE, list(keys))

    def close(self) -> None:
        self._connection.close()


class AsyncBarePostgreSQL(BareSide):
    name = "bare psycopg, prepared"

    def __init__(self, url: str, record: bytes, ttl: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(record, ttl)
        self.loop: asyncio.AbstractEventLoop = loop
        self._connection = loop.run_until_complete(psycopg.AsyncConnection.connect(url, autocommit=True))

    async def _execute(self, sql: str, *values: object) -> psycopg.AsyncCursor[_Row]:
        cursor = self._connection.cursor(binary=True)
        return await cursor.execute(sql, values, prepare=True)

    async def aload(self, key: str) -> object:
        cursor = await self._execute(READ.sql, key)
        return await cursor.fetchone()

    async def achange(self, key: str) -> object:
        cursor = await self._execute(READ.sql, key)
        stored, expected = must(await cursor.fetchone())
        record, version = self.rewritten(stored)
        cursor = await self._execute(REPLACE.sql, version, record, self.ttl, key, expected)
        return must(cursor.rowcount)

    async def acreate(self, _key: str) -> str:
        key = self.new_key()
        record, version = self.rewritten(self.record)
        cursor = await self._execute(INSERT.sql, key, version, record, self.ttl)
        must(cursor.rowcount)
        return key

    def discard(self, keys: Iterable[str]) -> None:
        self.loop.run_until_complete(self._execute(_DELETE, list(keys)))

    def close(self) -> None:
        self.loop.run_until_complete(self._connection.close())
