"""What the demo shows of a session; nothing that would let somebody take it over."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.db import connections
from django.http import HttpRequest
from django.urls import reverse

from django_multisession.bridge import run_sync
from django_multisession.codec import Header
from django_multisession.conf import DEFAULT, names
from django_multisession.cookies import chunk_name
from django_multisession.exceptions import InvalidRecord, StoreUnavailable
from django_multisession.sessions.cookie import CookieSession
from django_multisession.sessions.flashes import FLASH_KEY
from django_multisession.sessions.server import ServerSession

_HIDDEN = "_auth_user_hash"
_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def describe_all(request: HttpRequest) -> dict[str, dict[str, Any]]:
    """Return what describe() says of every configured session, and of those that cannot be reached just that."""
    sessions = {}
    for name in names():
        try:
            sessions[name] = describe(request, name)
        except StoreUnavailable as error:
            if name == DEFAULT:
                raise  # who is logged in hangs on it: the middleware's page says so
            sessions[name] = {"engine": _engine(request, name), "unavailable": str(error)}
    return sessions


def describe(request: HttpRequest, name: str) -> dict[str, Any]:
    """Return engine, place, cookie, content and remaining seconds of a session. Its flashes are read, and gone."""
    session: Any = request.sessions[name]  # type: ignore[attr-defined]  # our middleware's
    flashes = session.flashes() if FLASH_KEY in session else []
    content = {key: "(hidden)" if key == _HIDDEN else session[key] for key in sorted(session.keys())}
    size, expires = _kept(session)
    at_close = session.get_expire_at_browser_close()
    age = session.get_expiry_age()
    if session.modified or expires is None:
        expires = int(time.time()) + age  # as it will be saved with this response
    key = session.session_key
    on_server = isinstance(session, ServerSession)
    options = session.cookie()
    cookies = _cookies(request, options.name)
    return {
        "engine": _engine(request, name),
        "place": session.records().store.name if on_server else "the cookie",
        "database": _database(session) if on_server else None,
        "storage_key": session.records().key(key).storage_key if on_server and key else None,
        "size": size,
        "cookies": cookies,
        "cookie": {
            "Name": options.name,
            "Path": options.path,
            "Domain": options.domain or "this host only",
            "Max-Age": "until the browser closes" if at_close else f"{age} s",
            "HttpOnly": options.httponly,
            "Secure": options.secure,
            "SameSite": options.samesite or "not set",
            "Partitioned": options.partitioned,
            "Size": f"{sum(cookies)} bytes" if cookies else "not sent yet",
        },
        "session": content,
        "flashes": flashes,
        "expires_in": max(expires - int(time.time()), 0),
        "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(),
    }


def remaining(seconds: int) -> str:
    """Return the seconds in the two largest units that say something: ``13 days 23 h``, ``19 min 58 s``."""
    parts: list[str] = []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count or parts:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count != 1 else ''}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def card(request: HttpRequest, name: str, described: dict[str, Any], mishap: Any = None) -> dict[str, Any]:
    """Return what the template shows of a described session."""
    shown = {**described, "name": name, "mishap": mishap, "page": reverse("session", args=[name])}
    if "unavailable" in described:
        return shown
    flags = [flag for flag in ("HttpOnly", "Secure", "Partitioned") if described["cookie"][flag]]
    at_close = described["cookie"]["Max-Age"] == "until the browser closes"
    session: Any = request.sessions[name]  # type: ignore[attr-defined]  # our middleware's
    return shown | {
        "exists": bool(described["session"] or session.session_key),
        "count": described["session"].get("count", 0),
        "options": session.cookie(),
        "attributes": [
            f"Path={described['cookie']['Path']}",
            f"SameSite={described['cookie']['SameSite']}",
            *flags,
        ],
        "at_close": at_close,
        "remaining": remaining(described["expires_in"]),
    }


def _engine(request: HttpRequest, name: str) -> str:
    return type(request.sessions[name]).__module__  # type: ignore[attr-defined]  # our middleware's


def _database(session: Any) -> str | None:
    """Return what kind of database has the session's table, None if it is in none."""
    alias = getattr(session.records().store, "alias", None)
    return connections[alias].display_name if alias else None


def _kept(session: Any) -> tuple[int | None, int | None]:
    """Return the bytes on the server, None for a cookie, and the time at which what is kept expires."""
    key = session.session_key
    if not key:
        return None, None
    if isinstance(session, CookieSession):
        try:
            return None, session.codec().decode(key).header.expires_at
        except InvalidRecord:
            return None, None
    records = session.records()
    record = run_sync(records.store.read(records.key(key).storage_key))
    return (None, None) if record is None else (len(record.payload), Header.unpack(record.payload).expires_at)


def _cookies(request: HttpRequest, name: str) -> list[int]:
    """Return the bytes of name and value of the session's cookie, and of its chunks, as they came."""
    sizes: list[int] = []
    while (part := chunk_name(name, len(sizes))) in request.COOKIES:
        sizes.append(len(part) + 1 + len(request.COOKIES[part]))
    return sizes
