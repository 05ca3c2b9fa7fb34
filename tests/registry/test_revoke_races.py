"""Sessions that several processes save and rotate while their user is revoked: all are gone, and none comes back."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import connections
from django.test import override_settings

from django_multisession.bridge import run_sync
from django_multisession.middleware import SessionMiddleware
from django_multisession.registry import arevoke_all, revoke_all, sessions_of
from tests.databases import call_with_django, database
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Exchange, Users, nothing
from tests.registry.sites import ROUTER, registry_database
from tests.registry.test_rows import live
from tests.system.backends import leave_thread

PROCESSES = 4
SESSIONS = 100
GIVE_UP = 40.0


class Project(NamedTuple):
    """What a process needs to know of the site; ``more`` are further entries of DATABASES, by alias."""

    settings: Mapping[str, Any]
    database: Mapping[str, Any]
    more: Mapping[str, Mapping[str, Any]]


class Wires(NamedTuple):
    """How the processes and the test tell one another what has happened."""

    started: Any
    stop: Any
    results: Any


def work(given: tuple[Any, ...], keys: list[str], seed: int, wired: tuple[Any, ...]) -> None:
    """Save sessions and change their keys until it is told to stop; tell of how many requests, and the keys sent.

    What is given are plain tuples: this module can be imported only once Django is set up.
    """
    project, wires = Project(*given), Wires(*wired)
    chance = random.Random(seed)  # noqa: S311 - no secret
    requests, sent = 0, []
    with contextlib.ExitStack() as stack:
        stack.enter_context(registry_database(project.database, makes=False))
        for alias, entry in project.more.items():
            stack.enter_context(database(entry, alias, migrate=False))
        stack.enter_context(override_settings(**project.settings))
        browsers = [Browser(SessionMiddleware(nothing), key) for key in keys]
        while not wires.stop.is_set():
            browser = chance.choice(browsers)
            request = browser.request()
            run_sync(_change(request, chance.random(), rotates=chance.random() < 0.5))
            run_sync(request.answer())
            if request.sent:
                sent.append(request.sent)
            if not requests:
                wires.started.release()
            requests += 1
    wires.results.put((requests, sent))


async def _change(request: Exchange, value: float, *, rotates: bool) -> None:
    with contextlib.suppress(UpdateError):
        await request.put(n=value)
        if rotates and request.session.get("_auth_user_id"):
            await request.cycle_key()
    await request.respond(races=True)


@pytest.mark.slow
@pytest.mark.parametrize("drive", ["sync"], indirect=True)
def test_sessions_that_are_saved_meanwhile_are_gone_with_the_revocation(
    site: Site, registry_settings: Any, settings: Any, nightly: bool
) -> None:
    if site.engine == "memory":
        pytest.skip("Other processes have a memory of their own.")
    names = ("SESSION_ENGINE", "MULTISESSION", "AUTHENTICATION_BACKENDS")
    location = settings.MULTISESSION["default"].get("LOCATION")
    is_alias = isinstance(location, str) and location in connections.settings
    more = {location: dict(connections.settings[location])} if is_alias else {}
    chosen = {name: getattr(settings, name) for name in names} | {"DATABASE_ROUTERS": [ROUTER]}
    project, user = Project(chosen, registry_settings, more), Users().get_user(VICTIM)
    keys = [str(run_sync(site.user(n=0)).key) for _ in range(SESSIONS)]
    assert len(sessions_of(user)) == SESSIONS
    leave_thread()

    context = multiprocessing.get_context("spawn")
    wires = Wires(context.Semaphore(0), context.Event(), context.Queue())
    processes = [
        context.Process(
            target=call_with_django, args=(__name__, work.__name__, tuple(project), keys, number, tuple(wires))
        )
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            assert wires.started.acquire(timeout=GIVE_UP)
        wires.stop.wait(20 if nightly else 1)
        revoke_all(user)
        wires.stop.wait(1)
    finally:
        wires.stop.set()
    found = [wires.results.get(timeout=GIVE_UP) for _ in processes]
    for process in processes:
        process.join(GIVE_UP)
    sent = {key for _, told in found for key in told}
    requests = sum(count for count, _ in found)
    print(f"{site.engine}: {requests} racing requests, {len(sent)} new keys")  # noqa: T201 - how much of a race it was
    assert requests > PROCESSES
    assert run_sync(live()) == []
    back = [key for key in {*keys, *sent} if run_sync(site.browser(key).finds())["user"] is not None]
    assert back == []


@pytest.mark.slow
def test_racing_changes_of_one_session_never_outlive_its_revocation(site: Site, nightly: bool) -> None:
    """Each round: two changes of key and two saves of a session, and a revocation, at the same time."""
    user = Users().get_user(VICTIM)

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

    rounds = 12
    if nightly:
        rounds = 2_500 if site.engine == "memory" else 250  # four racing requests each
    for _ in range(rounds):
        browser = site.drive(site.user())
        sent: list[str] = [str(browser.key)]
        changes = [partial(change, browser, sent, rotates=rotates) for rotates in (True, True, False, False)]
        site.drive.together([*changes, partial(arevoke_all_of, user)])
        back = [key for key in sent if site.drive(site.browser(key).finds())["user"] is not None]
        assert back == []
        assert site.drive(live()) == []


async def arevoke_all_of(user: Any) -> None:
    await arevoke_all(user)
