"""A side of a comparison: something that loads, changes and creates sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, Protocol

from django.contrib.sessions.backends.base import SessionBase

from benchmarks.payload import AUTH, CHANGED, READ

OURS = "ours"


class Side(Protocol):
    """What the rounds need. Each operation takes the key of a stored session; ``create`` returns that of a new one."""

    key: str
    """The key of a session that is there."""

    def load(self, key: str) -> object:
        """Read a session, and one of its keys."""

    def change(self, key: str) -> object:
        """Read a session, change one key, write it back."""

    def create(self, key: str = "") -> str:
        """Write a new session."""

    def discard(self, keys: Iterable[str]) -> None:
        """Delete sessions, so that none pile up on the server."""


class SessionSide:
    """An engine, ours, Django's or a package's, as a view uses it."""

    def __init__(self, session_class: Callable[..., SessionBase], data: Mapping[str, Any]) -> None:
        self._session_class = session_class
        self._data = data
        self._visits = count(100_001)
        self.key = self.create()
        if self.load(self.key) != AUTH[READ]:
            raise RuntimeError(f"{session_class} does not read what it has written")

    def load(self, key: str) -> object:
        return self._session_class(key)[READ]

    def change(self, key: str) -> None:
        session = self._session_class(key)
        session[CHANGED] = next(self._visits)
        session.save()

    def create(self, key: str = "") -> str:
        return self._stored(self._data)

    def discard(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._session_class().delete(key)

    def _stored(self, data: Mapping[str, Any]) -> str:
        session = self._session_class()
        session.update(data)
        session.save()
        return _key_of(session)

    # Whose round trips are counted, beside those of the others.

    def anonymous(self) -> str:
        """Store the session of a visitor before the login."""
        return self._stored({name: value for name, value in self._data.items() if name not in AUTH})

    def login(self, key: str) -> None:
        """Do what ``django.contrib.auth.login()`` does to an anonymous session, and the middleware after it."""
        session = self._session_class(key)
        session.get(READ)
        session.cycle_key()
        for name, value in AUTH.items():
            session[name] = value
        session.save()

    def logout(self, key: str) -> None:
        """Read a session, and flush it."""
        session = self._session_class(key)
        session.get(READ)
        session.flush()

    def save_unchanged(self, key: str) -> None:
        """Read a session and save it, as SESSION_SAVE_EVERY_REQUEST does."""
        session = self._session_class(key)
        session.get(READ)
        session.save()


def _key_of(session: SessionBase) -> str:
    key = session.session_key
    assert key is not None
    return key
