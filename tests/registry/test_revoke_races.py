"""Sessions that several processes save and rotate while their user is revoked: all are gone, and none comes back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.core.cache import caches
from django.db import connections

from django_multisession.registry import arevoke_all, revoke_all, sessions_of
from django_multisession.testing.drive import SyncDrive
from tests.conftest import on_servers
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Users
from tests.registry import racers
from tests.registry.cookies import BACKENDS, site_with, user_of
from tests.registry.racers import MOST, PATIENCE, PROCESSES, Jars, Outcome, Task, Wires
from tests.registry.sites import ALIAS, ROUTER
from tests.registry.test_rows import live
from tests.system.backends import leave_thread

PAIRS = {"signed_cookies": "redis", "encrypted_cookies": "memcached"}
"""Each engine for cookies, with a cache that remembers what was revoked."""
NAMES = ("SESSION_ENGINE", "MULTISESSION", "CACHES", "AUTHENTICATION_BACKENDS")
USER = Users().get_user(VICTIM)


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with racers.crew() as wires:
        yield wires


@pytest.fixture(params=on_servers({engine: f"{cache}_server" for engine, cache in PAIRS.items()}))
def cookies(request: pytest.FixtureRequest, registry: None, settings: Any) -> Iterator[Site]:
    cache = PAIRS[request.param]
    location = request.getfixturevalue(f"{cache}_server").location
    settings.CACHES = {**settings.CACHES, "shared": {"BACKEND": BACKENDS[cache], "LOCATION": location}}
    yield site_with(settings, request.param, "shared", SyncDrive(leave_thread))
    caches["shared"].close()


def race(site: Site, wires: Wires, settings: Any, databases: Mapping[str, Any], *, nightly: bool) -> None:
    """Have sessions saved by all processes, and end them in the midst of that; by night, until 10,000 saves."""
    chosen = {name: getattr(settings, name) for name in NAMES} | {"DATABASE_ROUTERS": [ROUTER]}
    browsers, until, enough = (MOST, 800, 10_000) if nightly else (20, 200, 200)
    saves = keys = rounds = 0
    while saves < enough:
        outcomes = _round(
            site, wires, [Task(number, chosen, databases, browsers) for number in range(PROCESSES)], until
        )
        assert sum(outcome.late for outcome in outcomes) == 0
        assert site.drive(live()) == []
        sent = {key for outcome in outcomes for key in outcome.sent}
        assert {site.drive(user_of(site, key)) for key in sent} <= {None}
        saves, keys, rounds = saves + wires.saved.value, keys + len(sent), rounds + 1
    print(f"{site.engine}: {saves} racing saves, {keys} new keys, {rounds} revocations")  # noqa: T201 - how much it was


def _round(site: Site, wires: Wires, tasks: list[Task], until: int) -> list[Outcome]:
    Users.passwords.clear()
    browsers = tasks[0].browsers
    Jars(wires.cells).fill([str(site.drive(site.user(n=0)).key) for _ in range(browsers)])
    assert len(sessions_of(USER)) == browsers
    leave_thread()
    wires.saved.value = 0
    wires.revoked.clear()
    for task in tasks:
        wires.tasks.put(task)
    deadline = time.monotonic() + PATIENCE
    while wires.saved.value < until:
        assert time.monotonic() < deadline, f"{wires.saved.value} saves"
        time.sleep(0.002)
    assert revoke_all(USER) == browsers
    wires.revoked.set()
    return [wires.outcomes.get(timeout=PATIENCE) for _ in tasks]


@pytest.mark.slow
@pytest.mark.parametrize("drive", ["sync"], indirect=True)
def test_sessions_that_four_processes_save_are_gone_with_the_revocation(
    site: Site, wires: Wires, registry_settings: Any, settings: Any, nightly: bool
) -> None:
    if site.engine == "memory":
        pytest.skip("Other processes have a memory of their own.")
    location = settings.MULTISESSION["default"].get("LOCATION")
    is_alias = isinstance(location, str) and location in connections.settings
    more = {location: dict(connections.settings[location])} if is_alias else {}
    race(site, wires, settings, {ALIAS: registry_settings, **more}, nightly=nightly)


@pytest.mark.slow
def test_cookies_that_four_processes_save_are_gone_with_the_revocation(
    cookies: Site, wires: Wires, registry_settings: Any, settings: Any, nightly: bool
) -> None:
    race(cookies, wires, settings, {ALIAS: registry_settings}, nightly=nightly)


@pytest.mark.slow
def test_racing_changes_of_one_session_never_outlive_its_revocation(site: Site, nightly: bool) -> None:
    """Each round: two changes of key and two saves of a session, and a revocation, at the same time."""

    async def change(browser: Browser, sent: list[str], *, rotates: bool) -> None:
        request = browser.request()
        with contextlib.suppress(UpdateError):
            await request.look()
            await request.put(n=1)
            if rotates:
                await request.cycle_key()
        await request.respond(races=True)
        if request.sent:
            sent.append(request.sent)

    async def revoke() -> None:
        await arevoke_all(USER)

    rounds = 12
    if nightly:
        rounds = 2_500 if site.engine == "memory" else 250  # four racing requests each
    for _ in range(rounds):
        browser = site.drive(site.user())
        sent: list[str] = [str(browser.key)]
        acts: list[Any] = [partial(change, browser, sent, rotates=rotates) for rotates in (True, True, False, False)]
        site.drive.together([*acts, revoke])
        back = [key for key in sent if site.drive(site.browser(key).finds())["user"] is not None]
        assert back == []
        assert site.drive(live()) == []
