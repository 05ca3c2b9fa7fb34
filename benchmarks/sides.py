"""A side of a comparison: something that loads, changes and creates sessions, or does the same bytes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import count
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from benchmarks.payload import AUTH, CHANGED, READ, Payload
from django_multisession.envelope import VERSION

OURS = "ours"
BASIC = ("load", "change", "create")
OPERATIONS = {
    "load": "read a session that is there, and one of its keys",
    "change": "read a session, change one key, write it back",
    "create": "write a new session",
    "login": "read an anonymous session, give it a new key, put the login into it, save it",
    "logout": "read a session, and flush it",
    "unchanged": "read a session, set a key to the value that it has, save",
    "every_request": "read a session and save it, as SESSION_SAVE_EVERY_REQUEST does",
}
"""What is measured, by the name that it is asked for and reported by."""
MAKING = ("create", "login")
"""The operations that return the key of a session that was not there before."""


class Side:
    """Each operation is a method that takes a session's key, by its own name or, with a loop, by its ``a`` twin's."""

    name: str
    operations: Sequence[str] = BASIC
    loop: asyncio.AbstractEventLoop | None = None
    """The event loop that an asynchronous side lives in."""

    def operation(self, name: str) -> Callable[[str], Any]:
        """Return the method of that name, one of ``operations``, in this side's colour."""
        operation: Callable[[str], Any] = getattr(self, f"a{name}" if self.loop else name)
        return operation

    def keys(self, operation: str, number: int) -> Sequence[str]:
        """Return the session keys for so many calls of an operation; what it needs fresh is made now."""
        raise NotImplementedError

    def discard(self, keys: Iterable[str]) -> None:
        """Delete sessions, so that none pile up on the server: 64 kB ones would fill it."""
        raise NotImplementedError

    def close(self) -> None:
        """End connections."""


class SessionSide(Side):
    """An engine, ours or Django's, as a view uses it."""

    operations = tuple(OPERATIONS)

    def __init__(
        self,
        name: str,
        session_class: Callable[..., SessionBase],
        payload: Payload,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.name = name
        self.loop = loop
        self._session_class = session_class
        self._payload = payload
        self._visits = count(100_001)
        self._key = self.create()
        if self.load(self._key) != AUTH[READ]:
            raise RuntimeError(f"{name} does not read what it has written")

    def keys(self, operation: str, number: int) -> Sequence[str]:
        if operation == "login":
            return [self._stored(self._payload.anonymous) for _ in range(number)]
        if operation == "logout":
            return [self.create() for _ in range(number)]
        return [self._key] * number

    def discard(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._session_class().delete(key)

    def _stored(self, data: Any) -> str:
        session = self._session_class()
        session.update(data)
        session.save()
        return _key_of(session)

    def load(self, key: str) -> Any:
        return self._session_class(key)[READ]

    async def aload(self, key: str) -> Any:
        return await self._session_class(key).aget(READ)

    def change(self, key: str) -> None:
        session = self._session_class(key)
        session[CHANGED] = next(self._visits)
        session.save()

    async def achange(self, key: str) -> None:
        session = self._session_class(key)
        await session.aset(CHANGED, next(self._visits))
        await session.asave()

    def create(self, _key: str = "") -> str:
        return self._stored(self._payload.data)

    async def acreate(self, _key: str) -> str:
        session = self._session_class()
        await session.aupdate(dict(self._payload.data))
        await session.asave()
        return _key_of(session)

    def login(self, key: str) -> str:
        # As django.contrib.auth.login() does, and the middleware after it.
        session = self._session_class(key)
        assert READ not in session
        session.cycle_key()
        for name, value in AUTH.items():
            session[name] = value
        session.save()
        return _key_of(session)

    async def alogin(self, key: str) -> str:
        session = self._session_class(key)
        assert not await session.ahas_key(READ)
        await session.acycle_key()
        for name, value in AUTH.items():
            await session.aset(name, value)
        await session.asave()
        return _key_of(session)

    def logout(self, key: str) -> None:
        session = self._session_class(key)
        session.get(READ)
        session.flush()

    async def alogout(self, key: str) -> None:
        session = self._session_class(key)
        await session.aget(READ)
        await session.aflush()

    def unchanged(self, key: str) -> None:
        session = self._session_class(key)
        session[READ] = session[READ]
        session.save()

    async def aunchanged(self, key: str) -> None:
        session = self._session_class(key)
        await session.aset(READ, await session.aget(READ))
        await session.asave()

    def every_request(self, key: str) -> None:
        session = self._session_class(key)
        session.get(READ)
        session.save()

    async def aevery_request(self, key: str) -> None:
        session = self._session_class(key)
        await session.aget(READ)
        await session.asave()


class BareSide(Side):
    """A client library sending and receiving what our engine does, with nothing around it.

    ``record`` is one of ours as the server holds it, and ``ttl`` its lifetime in seconds.
    """

    def __init__(self, record: bytes, ttl: int) -> None:
        self.record = record
        self.ttl = ttl

    @cached_property
    def _key(self) -> str:
        """The key of a record that is there, for loading and changing."""
        key = self.operation("create")("")
        return str(self.loop.run_until_complete(key) if self.loop else key)

    def keys(self, operation: str, number: int) -> Sequence[str]:
        return [self._key] * number

    @staticmethod
    def new_key() -> str:
        """Return a storage key, as long as ours."""
        return os.urandom(20).hex()

    @staticmethod
    def rewritten(record: bytes) -> tuple[bytes, bytes]:
        """Return the record under a new version, and that version."""
        version = os.urandom(8)
        return record[: VERSION.start] + version + record[VERSION.stop :], version


def must(done: Any) -> Any:
    """Return what a write returned; RuntimeError if it did not happen, for it would be no comparison."""
    if not done:
        raise RuntimeError("The bare client's write was refused.")
    return done


def _key_of(session: SessionBase) -> str:
    key = session.session_key
    assert key is not None
    return key
