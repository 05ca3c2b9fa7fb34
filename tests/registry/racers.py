"""Processes that save many logged-in cookies, and give them new keys, until they find that they were revoked."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import count
from typing import Any, NamedTuple, Protocol

from django.core.cache import caches
from django.test import override_settings

from django_multisession.testing.drive import SyncDrive
from tests.logins.conftest import Site
from tests.logins.site import Browser
from tests.registry.sites import registry_database

CHANGES_KEY = 3
"""One request in so many gives its session a new key."""


class Outcome(NamedTuple):
    """What one process has seen in a round."""

    saved: int
    late: int
    """Requests that began after the revocation had returned, and were let in."""
    cookies: list[str]
    """What the browsers had at last, and before that."""


class Counter(Protocol):
    """A number of multiprocessing's."""

    value: int

    def get_lock(self) -> AbstractContextManager[Any]:
        """Return what keeps others from changing it."""


class Round(NamedTuple):
    """What the processes of a round share."""

    tasks: Any
    outcomes: Any
    saved: Any
    revoked: Any


def race(settings: dict[str, Any], database: dict[str, Any], *parts: Any) -> None:
    """Play rounds with the cookies that come out of the queue, until there is None; ``parts`` are those of a Round."""
    shared = Round(*parts)
    with override_settings(**settings), registry_database(database, makes=False):
        site = Site("cookies", SyncDrive(lambda: None), 0)
        while (cookies := shared.tasks.get()) is not None:
            browsers = [site.browser(cookie) for cookie in cookies]
            shared.outcomes.put(site.drive(_round(browsers, shared.saved, shared.revoked)))
        caches["shared"].close()


async def _round(browsers: list[Browser], saved: Counter, revoked: Any) -> Outcome:
    mine, late, cookies, alive = 0, 0, [browser.key or "" for browser in browsers], list(browsers)
    for number in count():
        for browser in list(alive):
            is_late = revoked.is_set()
            request = browser.request()
            if await request.get("_auth_user_id") is None:
                alive.remove(browser)
                continue
            late += is_late
            await request.put(n=number)
            if number % CHANGES_KEY == CHANGES_KEY - 1:
                await request.cycle_key()
            await request.respond()
            await request.answer()
            mine += request.sent is not None
            if request.sent is not None:
                cookies.append(request.sent)
                with saved.get_lock():
                    saved.value += 1
        if not alive or late > len(browsers):
            return Outcome(mine, late, cookies)
    raise AssertionError
