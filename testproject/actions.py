"""What the buttons of a session's card do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django_multisession.exceptions import SessionTooLarge

SOON = 10
"""Seconds until the end, for the button that lets one watch it."""
WEIGHT = 2_000
"""Bytes that the button for a larger session adds."""
SAMESITE = ("Lax", "Strict", "None")
_FLAGS = ("httponly", "secure", "partitioned")


def add(session: Any, fields: Mapping[str, Any]) -> None:
    """Count one more."""
    session["count"] = session.get("count", 0) + 1


def flash(session: Any, fields: Mapping[str, Any]) -> None:
    """Leave a text for the next page."""
    text = str(fields.get("text", "")).strip()[:200]
    if not text:
        raise ValueError("Write what the flash shall say.")
    session.add_flash(text)


def grow(session: Any, fields: Mapping[str, Any]) -> None:
    """Make the session larger: a cookie may need another chunk, or be too large."""
    session["ballast"] = session.get("ballast", "") + "x" * WEIGHT
    try:
        session.validate()
    except SessionTooLarge:
        shrink(session, fields)
        raise


def shrink(session: Any, fields: Mapping[str, Any]) -> None:
    """Undo one grow()."""
    session["ballast"] = session.get("ballast", "")[WEIGHT:]
    if not session["ballast"]:
        del session["ballast"]


def expire(session: Any, fields: Mapping[str, Any]) -> None:
    """Let the session end soon."""
    session.set_expiry(SOON)


def clear(session: Any, fields: Mapping[str, Any]) -> None:
    """Empty the session; record and cookie go as well."""
    session.flush()


def options(session: Any, fields: Mapping[str, Any]) -> None:
    """Change the attributes of the cookie: those that the fields name."""
    changes = {name: str(fields[name]) for name in ("samesite", "path") if fields.get(name)}
    flags = {name: bool(fields[name]) for name in _FLAGS if name in fields}
    age = {"max_age": int(fields["max_age"])} if fields.get("max_age") not in (None, "") else {}
    session.set_cookie_options(**changes, **flags, **age)
    if age.get("max_age") != -1:
        session.setdefault("count", 0)  # options stay with a session: there must be one


ACTIONS: dict[str, Callable[[Any, Mapping[str, Any]], None]] = {
    action.__name__: action for action in (add, flash, grow, shrink, expire, clear, options)
}
REFUSED = (ValueError, SessionTooLarge)
"""What an action raises if it cannot be done; the session is then as it was."""
