"""A hundred cookies of a user, saved by four processes meanwhile, are gone once he is logged out everywhere."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import caches

from django_multisession.registry import revoke_all
from django_multisession.testing.drive import SyncDrive
from tests.conftest import on_servers
from tests.databases import call_with_django
from tests.logins.conftest import Site
from tests.logins.site import Users
from tests.registry import racers
from tests.registry.cookies import BACKENDS, live, site_with, user_of, victim
from tests.registry.racers import Outcome, Round
from tests.registry.sites import ROUTER

PROCESSES = 4
SESSIONS = 100
PATIENCE = 60.0
"""Seconds until a round is given up."""
PAIRS = {"signed_cookies": "redis", "encrypted_cookies": "memcached"}


@pytest.fixture(params=on_servers({engine: f"{cache}_server" for engine, cache in PAIRS.items()}))
def site(request: pytest.FixtureRequest, registry: None, settings: Any) -> Iterator[Site]:
    cache = PAIRS[request.param]
    location = request.getfixturevalue(f"{cache}_server").location
    settings.CACHES = {**settings.CACHES, "shared": {"BACKEND": BACKENDS[cache], "LOCATION": location}}
    yield site_with(settings, request.param, "shared", SyncDrive(lambda: None))
    caches["shared"].close()


@contextmanager
def racing(settings: Any, database: dict[str, Any]) -> Iterator[Round]:
    """Start the processes, and end them."""
    spawn = multiprocessing.get_context("spawn")
    shared = Round(spawn.Queue(), spawn.Queue(), spawn.Value("i", 0), spawn.Event())
    names = ("SESSION_ENGINE", "MULTISESSION", "CACHES", "AUTHENTICATION_BACKENDS")
    given = {name: getattr(settings, name) for name in names} | {"DATABASE_ROUTERS": [ROUTER]}
    arguments = (racers.__name__, "race", given, database, *shared)  # a Round is of a module that needs Django
    crew = [spawn.Process(target=call_with_django, args=arguments, daemon=True) for _ in range(PROCESSES)]
    for process in crew:
        process.start()
    try:
        yield shared
    finally:
        for _ in crew:
            shared.tasks.put(None)
        for process in crew:
            process.join(PATIENCE)
            process.kill()
            process.join()


async def _logged_in(site: Site) -> list[str]:
    return [(await site.user()).key or "" for _ in range(SESSIONS)]


def play(site: Site, shared: Round) -> list[Outcome]:
    """Have a hundred sessions saved by all processes, and end them in the midst of that."""
    Users.passwords.clear()
    cookies = site.drive(_logged_in(site))
    shared.saved.value = 0
    shared.revoked.clear()
    for number in range(PROCESSES):
        shared.tasks.put(cookies[number::PROCESSES])
    deadline = time.monotonic() + PATIENCE
    while shared.saved.value < SESSIONS:
        assert time.monotonic() < deadline, "nobody saves"
        time.sleep(0.002)
    assert revoke_all(victim()) == SESSIONS
    shared.revoked.set()
    return [shared.outcomes.get(timeout=PATIENCE) for _ in range(PROCESSES)]


def test_revoke_all_ends_cookies_that_four_processes_save_and_rotate(
    site: Site, registry_settings: Any, settings: Any, nightly: bool
) -> None:
    racing_saves = 0
    with racing(settings, registry_settings) as shared:
        while racing_saves < (10_000 if nightly else SESSIONS):
            outcomes = play(site, shared)
            assert sum(outcome.late for outcome in outcomes) == 0
            assert site.drive(live()) == []
            cookies = [cookie for outcome in outcomes for cookie in outcome.cookies[-SESSIONS // 2 :]]
            assert {site.drive(user_of(site, cookie)) for cookie in cookies} == {None}
            racing_saves += sum(outcome.saved for outcome in outcomes)
