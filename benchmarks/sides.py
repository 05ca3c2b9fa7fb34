"""A side of a comparison: something that loads, changes and creates sessions, or does the same bytes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from benchmarks.payload import CHANGED, LOGGED_IN, READ
from django_multisession.envelope import VERSION

OPERATIONS = ("load", "change", "create")
OURS = "ours"


class Side(ABC):
    """Each operation is one call without arguments; a round calls it many times."""

    name: str

    @abstractmethod
    def load(self) -> object:
        """Read a session that is there, and one of its keys."""

    @abstractmethod
    def change(self) -> object:
        """Read a session, change one key, write it back."""

    @abstractmethod
    def create(self) -> object:
        """Write a new session."""

    def close(self) -> None:  # noqa: B027  # most sides have nothing to end
        """End connections."""

    def operation(self, name: str) -> Callable[[], object]:
        """Return the method of that name, one of OPERATIONS."""
        operation: Callable[[], object] = getattr(self, name)
        return operation


class SessionSide(Side):
    """An engine, ours or Django's, as a view uses it."""

    def __init__(self, name: str, session_class: Callable[..., SessionBase]) -> None:
        self.name = name
        self._session_class = session_class
        self._visits = count(LOGGED_IN[CHANGED] + 1)
        self.key: str | None = None
        self.create()
        self.change()
        if self.load() != LOGGED_IN[READ]:
            raise RuntimeError(f"{name} does not read what it has written")

    def load(self) -> object:
        return self._session_class(self.key)[READ]

    def change(self) -> object:
        session = self._session_class(self.key)
        session[CHANGED] = next(self._visits)
        session.save()
        self.key = session.session_key  # another one where the session is its cookie
        return session

    def create(self) -> object:
        session = self._session_class()
        session.update(LOGGED_IN)
        session.save()
        self.key = session.session_key
        return session


class BareSide(Side):
    """A client library sending and receiving what our engine does, with nothing around it.

    ``payload`` is a record of ours and ``ttl`` its lifetime in seconds.
    """

    def __init__(self, payload: bytes, ttl: int) -> None:
        self.payload = payload
        self.ttl = ttl
        self.key = self.new_key()

    @staticmethod
    def new_key() -> str:
        """Return a storage key, as long as ours."""
        return os.urandom(20).hex()

    @staticmethod
    def rewritten(payload: bytes) -> tuple[bytes, bytes]:
        """Return the payload under a new version, and that version."""
        version = os.urandom(8)
        return payload[: VERSION.start] + version + payload[VERSION.stop :], version


def must(done: Any) -> Any:
    """Return what a write returned; RuntimeError if it did not happen, for it would be no comparison."""
    if not done:
        raise RuntimeError("The bare client's write was refused.")
    return done
