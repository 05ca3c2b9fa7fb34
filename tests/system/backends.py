"""Engines of ours with their real servers, set up in this process and in its children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.db import connections
from django.test import override_settings

from django_multisession.sessions.loading import session_class
from tests.databases import database

ALIAS = "sessions"
PATIENCE = 20.0
"""Seconds of TIMEOUT for tests that are about answers, not about how soon they come."""


@dataclass(frozen=True)
class Backend:
    """One engine, and where it keeps its sessions; can be pickled."""

    name: str
    engine: str
    location: Any = None
    database: Mapping[str, Any] | None = None
    """The entry of DATABASES that the location stands for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    port: int = 0
    """Of the server, 0 where there is none."""

    def entry(self, **more: Any) -> dict[str, Any]:
        """Return the entry of MULTISESSION."""
        location = {"LOCATION": self.location} if self.location is not None else {}
        options = {"OPTIONS": {**self.options, **more.pop("OPTIONS", {})}}
        return {**location, **options, **more}

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings with which this is the default session's engine."""
        return {
            "SESSION_ENGINE": f"django_multisession.engines.{self.engine}",
            "MULTISESSION": {"default": self.entry(**more)},
        }

    @contextmanager
    def configured(self, *, migrate: bool = True, **more: Any) -> Iterator[type[SessionBase]]:
        """Make this the default session's engine; yield its SessionStore. ``more`` adds to the entry."""
        with ExitStack() as stack:
            if self.database is not None:
                stack.enter_context(database(self.database, ALIAS, migrate=migrate))
            stack.enter_context(override_settings(**self.settings(**more)))
            yield session_class("default")


def leave_thread() -> None:
    """Close what Django keeps for this thread."""
    connections.close_all()
