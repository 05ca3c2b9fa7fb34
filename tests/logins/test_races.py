"""A logout and a change of key at the same moment, on real servers: the logout is final."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError

from django_multisession.bridge import pause
from django_multisession.conf import DEFAULT
from django_multisession.sessions.loading import session_class
from django_multisession.sessions.records import Records
from django_multisession.testing.drive import Drive, driving, either
from tests.logins.conftest import Site
from tests.logins.site import Exchange
from tests.system.backends import leave_thread


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Any:
    """Let each thread close its connections."""
    with driving(request.param, leave_thread) as drive:
        yield drive


async def cycle(request: Exchange) -> None:
    await request.cycle_key()
    await request.respond(races=True)


async def change_password(request: Exchange) -> None:
    await request.change_password()
    await request.respond(races=True)


async def log_out(request: Exchange) -> None:
    await request.logout()
    await request.respond(races=True)


@pytest.mark.slow
@pytest.mark.parametrize("change", [cycle, change_password])
def test_logout_that_races_a_change_of_key_is_final(
    site: Site, drive: Drive, change: Callable[[Exchange], Coroutine[Any, Any, None]], nightly: bool
) -> None:
    alive = []
    for _ in range(1000 if nightly else 15):
        browser = drive(site.user(cart=["book"]))
        ours, theirs = browser.request(), browser.request()
        drive(ours.look())
        drive(theirs.look())
        drive.together([partial(change, ours), partial(log_out, theirs)])
        for key in {browser.key, ours.sent} - {None}:
            found = drive(site.browser(key).finds())
            if found != {"user": None}:
                alive.append(found)
    assert not alive


@pytest.mark.slow
def test_logout_is_final_though_others_write_all_the_time(
    site: Site, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_slow: ContextVar[bool] = ContextVar("is_slow", default=False)
    read, ended = Records.read, threading.Event()

    async def read_slowly(records: Records, key: Any) -> Any:
        found = await read(records, key)
        if is_slow.get():
            await pause(0.02)  # in which others write
        return found

    monkeypatch.setattr(Records, "read", read_slowly)
    key = drive(site.user(cart=["book"])).key
    store: Any = session_class(DEFAULT)

    async def write(number: int) -> None:
        written = 0
        while not ended.is_set():
            session = store(key)
            await either(session.update, session.aupdate, {f"n{number}": written})
            if session.session_key is None:
                return
            try:
                await either(session.save, session.asave)
            except UpdateError:
                return
            written += 1
            await pause(0.001)

    async def log_out() -> None:
        is_slow.set(True)
        try:
            session = store(key)
            await either(session.flush, session.aflush)
        finally:
            ended.set()

    writers: list[Callable[[], Coroutine[Any, Any, None]]] = [partial(write, number) for number in range(4)]
    drive.together([*writers, log_out])
    assert not drive(either(store().exists, store().aexists, key))
