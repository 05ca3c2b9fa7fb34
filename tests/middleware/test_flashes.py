"""Flashes: read once, then gone, on every engine; of those that concurrent requests add, none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib import messages
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest

from django_multisession.bridge import run_sync
from django_multisession.sessions.loading import session_class
from django_multisession.testing.drive import either
from tests.middleware.conftest import SESSIONS, Visitor, put

MANY = 12


def add(name: str, *values: Any, **key: str) -> Callable[[Any], Any]:
    async def view(request: Any) -> None:
        for value in values:
            await _add(request.sessions[name], value, **key)

    return view


async def _add(session: Any, value: Any, key: str = "_flash") -> None:
    await either(session.add_flash, session.aadd_flash, value, key)


def read(visitor: Visitor, name: str, key: str = "_flash") -> list[Any]:
    found: list[Any] = []

    async def view(request: Any) -> None:
        found.extend(await either(request.sessions[name].flashes, request.sessions[name].aflashes, key))

    visitor.visit(view)
    return found


@pytest.mark.parametrize("name", SESSIONS)
def test_flashes_are_read_once_in_their_order(visitor: Visitor, name: str) -> None:
    visitor.visit(add(name, "one", {"text": "two"}))
    visitor.visit(add(name, 3))
    assert read(visitor, name) == ["one", {"text": "two"}, 3]
    assert read(visitor, name) == []
    assert visitor.data(name) == {}


@pytest.mark.parametrize("name", SESSIONS)
def test_flashes_of_a_key_are_its_own(visitor: Visitor, name: str) -> None:
    visitor.visit(add(name, "plain"))
    visitor.visit(add(name, "of its own", key="other"))
    assert read(visitor, name, "other") == ["of its own"]
    assert read(visitor, name) == ["plain"]


def test_reading_no_flashes_changes_nothing(visitor: Visitor) -> None:
    visitor.visit(put(n=1))

    async def view(request: Any) -> None:
        assert await either(request.session.flashes, request.session.aflashes) == []
        assert not request.session.modified

    visitor.visit(view)


@pytest.mark.parametrize("key", ["_flash", "custom"])
def test_concurrent_flashes_are_all_kept(visitor: Visitor, key: str) -> None:
    visitor.visit(put(n=1))
    cookie = visitor.client.cookies["sessionid"].value

    async def one(number: int) -> None:
        session = session_class("default")(cookie)
        await _add(session, number, key)
        await either(session.save, session.asave)

    if visitor.runner:

        async def all_of_them() -> None:
            await asyncio.gather(*(one(number) for number in range(MANY)))

        visitor.runner.run(all_of_them())
    else:
        with ThreadPoolExecutor(MANY) as threads:
            list(threads.map(lambda number: run_sync(one(number)), range(MANY)))
    assert sorted(read(visitor, "default", key)) == list(range(MANY))


@pytest.mark.parametrize("key", ["_flash", "custom"])
def test_flash_added_while_others_are_read_is_kept(visitor: Visitor, key: str) -> None:
    visitor.visit(add("default", "read", key=key))
    cookie = visitor.client.cookies["sessionid"].value

    async def view(request: Any) -> None:
        assert await either(request.session.flashes, request.session.aflashes, key) == ["read"]
        other = session_class("default")(cookie)
        await _add(other, "added meanwhile", key)
        await either(other.save, other.asave)

    visitor.visit(view)
    assert read(visitor, "default", key) == ["added meanwhile"]


def test_concurrent_messages_of_django_are_all_kept(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    cookie = visitor.client.cookies["sessionid"].value
    requests = []
    for number in range(MANY):
        request: Any = HttpRequest()
        request.session = session_class("default")(cookie)
        request._messages = SessionStorage(request)
        messages.info(request, f"message {number}")
        request._messages.update(None)
        requests.append(request)
    for request in requests:
        request.session.save()
    reader: Any = HttpRequest()
    reader.session = session_class("default")(cookie)
    assert sorted(str(message) for message in SessionStorage(reader)) == sorted(
        f"message {number}" for number in range(MANY)
    )
