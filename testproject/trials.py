"""What this package is for, tried out: two requests at once, and an outage."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, TypeGuard

from django.contrib.sessions.backends.base import SessionBase

from django_multisession.conf import names
from django_multisession.exceptions import StoreUnavailable
from django_multisession.sessions.loading import session_class
from django_multisession.sessions.server import ServerSession
from django_multisession.stores.base import Store

DJANGOS = "django.contrib.sessions.backends.db"
OUTAGE = 5
"""Seconds for which the default session's store is taken away."""
CHANGES = (("cart", "a book"), ("language", "Welsh"))
"""What the two requests put into the session, each a key of its own."""
_OPERATIONS = ("read", "insert", "replace", "delete", "end", "delete_many", "exists")


def race() -> dict[str, dict[str, Any]]:
    """Have two requests at once change a session, on an engine of ours and on Django's; return what each has kept."""
    engines = [_on_server(), import_module(DJANGOS).SessionStore]
    return {engine.__module__: _race(engine) for engine in engines if engine is not None}


def _on_server() -> type[SessionBase] | None:
    """Return the first session's class that is kept on a server; in a cookie, the browser has the last word."""
    classes = (session_class(name) for name in names())
    return next((each for each in classes if issubclass(each, ServerSession)), None)


def _race(engine: type[SessionBase]) -> dict[str, Any]:
    before = engine()
    before.create()
    # As in two processes: both have read the session before either saves it.
    requests = [engine(before.session_key) for _ in CHANGES]
    for session in requests:
        session.load()
        session.get("anything")
    for session, (key, value) in zip(requests, CHANGES, strict=True):
        session[key] = value
        session.save()
    after = engine(before.session_key)
    kept = {key: after[key] for key, _ in CHANGES if key in after}
    after.delete()
    return kept


def can_fail(session: SessionBase) -> TypeGuard[ServerSession]:
    """Tell whether there is a session on a server, which can be taken away."""
    return isinstance(session, ServerSession) and bool(session.session_key)


def fail(session: ServerSession) -> None:
    """Take the session's store away from this process for OUTAGE seconds: it looks as if it did not answer."""
    store = session.records().store
    ends = time.monotonic() + OUTAGE
    for name in _OPERATIONS:
        # On the instance, in place of whatever an earlier outage has left there.
        setattr(store, name, _failing(store, getattr(type(store), name).__get__(store), ends))


def _failing(store: Store, operation: Callable[..., Awaitable[Any]], ends: float) -> Callable[..., Awaitable[Any]]:
    async def fails(*arguments: Any, **more: Any) -> Any:
        left = ends - time.monotonic()
        if left > 0:
            raise StoreUnavailable(store.name, f"the demo has taken it away for {left:.0f} s more")
        return await operation(*arguments, **more)

    return fails
