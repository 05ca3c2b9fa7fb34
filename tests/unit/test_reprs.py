"""What error reports show of the objects that hold keys, payloads and passwords: their repr, or Sentry's view of it."""

from __future__ import annotations

from typing import Any

import pytest
from sentry_sdk.serializer import serialize

from django_multisession.codec import Header
from django_multisession.cookie_codec import CookieContent
from django_multisession.keys import Secret, SessionKey
from django_multisession.merge import Merged
from django_multisession.moving.source import Found, New
from django_multisession.sessions.body import Body
from django_multisession.sessions.draft import Draft
from django_multisession.sessions.loaded import Loaded, Moved, Saved
from django_multisession.sessions.rotation import Rotation
from django_multisession.stores.base import Insertion, Record, StoreOptions
from django_multisession.stores.memory import _Row
from django_multisession.stores.mongodb.location import parse as mongodb_location
from django_multisession.stores.postgresql.pipeline import Result
from django_multisession.stores.redis.batches import _Request
from django_multisession.stores.redis.location import located as redis_location

SECRET = "fake secret"
KEY = SessionKey(SECRET, "0" * 40)
HEADER = Header.new(b"version!", 1, 0, 2, 1)
LOADED = Loaded(KEY, SECRET.encode(), HEADER, b"token")
BODY = Body({"owner": SECRET}, {"a": SECRET})
HOLDERS = [
    KEY,
    Secret(SECRET.encode(), "", "default"),
    LOADED,
    BODY,
    Moved(KEY),
    Saved(LOADED, BODY),
    Rotation(KEY, LOADED),
    Draft({"a": SECRET}, 1, len, 0.0, {"owner": SECRET}),
    Merged({"a": SECRET}, ()),
    CookieContent(HEADER, SECRET.encode(), 0, SECRET.encode()),
    Record(SECRET.encode(), b"token"),
    Insertion("0" * 40, SECRET.encode(), 1, b"version!"),
    Found(SECRET, {"a": SECRET}, 1, SECRET, options={"owner": SECRET}),
    New({"a": SECRET}, 1, options={"owner": SECRET}),
    StoreOptions(SECRET, options={"password": SECRET}),
    _Row(SECRET.encode(), b"version!", 1.0),
    _Request(SECRET.encode(), 1, None, 0.0),  # type: ignore[arg-type]  # a future needs a loop
    Result([(SECRET.encode(),)], 1),
    mongodb_location(f"mongodb://user:{SECRET.replace(' ', '%20')}@127.0.0.1/sessions"),
    redis_location(f"redis://:{SECRET.replace(' ', '%20')}@127.0.0.1/0"),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_repr_shows_no_secret(holder: Any) -> None:
    event = {"exception": {"values": [{"stacktrace": {"frames": [{"vars": {"local": holder}}]}}]}}
    shown = f"{holder!r} {serialize(event)}".replace("%20", " ")
    assert SECRET not in shown
