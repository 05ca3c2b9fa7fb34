"""A logout and a change of key at the same moment, on real servers: the logout is final."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from django_multisession.testing.drive import Drive, driving
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
    for _ in range(1000 if nightly else 40):
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
