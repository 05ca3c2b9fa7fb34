"""Processes that save the sessions of many browsers, and change their keys, until it is said that they were revoked.

What is given to a process when it starts are plain objects: this module can be imported only once Django is set up.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.contrib.sessions.backends.base import UpdateError
from django.core.cache import caches
from django.test import override_settings

from django_multisession.testing.drive import driving
from tests.databases import database
from tests.logins.conftest import Site
from tests.logins.site import Browser, Exchange
from tests.processes import call_with_django, fresh_processes
from tests.registry.sites import ALIAS, registry_database
from tests.system.backends import leave_thread

PROCESSES = 4
"""Half of them without an event loop, half of them in one."""
MOST = 100
"""Browsers of a round."""
LONGEST = 1024
"""Bytes of a cookie."""
PATIENCE = 60.0
"""Seconds until something that should have happened is given up."""


class Task(NamedTuple):
    """A site, as a process is to set it up, and how many browsers there are."""

    number: int
    settings: Mapping[str, Any]
    databases: Mapping[str, Mapping[str, Any]]
    browsers: int


class Outcome(NamedTuple):
    """What one process has seen in a round."""

    late: int
    """Browsers that were let in by a request which began after the revocation had returned."""
    sent: list[str]
    """All cookies that were sent to browsers."""


class Jars:
    """The cookie of each browser, which all processes share, as the tabs of a browser do."""

    def __init__(self, cells: Any) -> None:
        self._cells = cells

    def fill(self, cookies: Sequence[str]) -> None:
        for number, cookie in enumerate(cookies):
            self._put(number, cookie)

    def cookie(self, number: int) -> str:
        with self._cells.get_lock():
            cell: bytes = self._cells[number * LONGEST : (number + 1) * LONGEST]
        return cell.rstrip(b"\0").decode()

    def answer(self, number: int, brought: str, sent: str) -> None:
        """Let a browser have the cookie of a response, unless it has got another since the request."""
        with self._cells.get_lock():
            if self.cookie(number) == brought:
                self._put(number, sent)

    def _put(self, number: int, cookie: str) -> None:
        assert len(cookie) <= LONGEST
        self._cells[number * LONGEST : (number + 1) * LONGEST] = cookie.encode().ljust(LONGEST, b"\0")


class Wires(NamedTuple):
    """What the processes and the test share."""

    cells: Any
    tasks: Any
    outcomes: Any
    start: Any
    saved: Any
    """How many requests have saved a session of somebody who is logged in."""
    revoked: Any
    """Set once the revocation has returned."""


@contextlib.contextmanager
def crew() -> Iterator[Wires]:
    """Start the processes, and end them."""
    fresh = fresh_processes()
    cells = fresh.Array("c", MOST * LONGEST)
    wires = Wires(cells, fresh.Queue(), fresh.Queue(), fresh.Barrier(PROCESSES), fresh.Value("i", 0), fresh.Event())
    arguments = (__name__, work.__name__, *wires)
    processes = [fresh.Process(target=call_with_django, args=arguments, daemon=True) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    try:
        yield wires
    finally:
        for _ in processes:
            wires.tasks.put(None)
        for process in processes:
            process.join(PATIENCE)
            process.kill()
            process.join()


def work(*given: Any) -> None:
    """Play the rounds that come, until there is None."""
    wires = Wires(*given)
    while (task := wires.tasks.get()) is not None:
        with contextlib.ExitStack() as stack:
            for alias, entry in task.databases.items():
                makes = (
                    registry_database(entry, makes=False) if alias == ALIAS else database(entry, alias, migrate=False)
                )
                stack.enter_context(makes)
            stack.enter_context(override_settings(**task.settings))
            stack.callback(caches.close_all)
            drive = stack.enter_context(driving("async" if task.number % 2 else "sync", leave_thread))
            site = Site("", drive, 0)
            wires.start.wait(PATIENCE)
            wires.outcomes.put(_race(site, task, wires))


def _race(site: Site, task: Task, wires: Wires) -> Outcome:
    jars, sent = Jars(wires.cells), list[str]()
    chance = random.Random(task.number)  # noqa: S311 - no secret
    while not wires.revoked.is_set():
        number = chance.randrange(task.browsers)
        cookie = jars.cookie(number)
        request = site.drive(_save(site.browser(cookie), rotates=chance.random() < 0.3))
        if request is None:
            continue
        if request.sent:
            sent.append(request.sent)
            jars.answer(number, cookie, request.sent)
        if request.response.status_code == 200:
            with wires.saved.get_lock():
                wires.saved.value += 1
    finds = [site.drive(site.browser(jars.cookie(number)).finds()) for number in range(task.browsers)]
    return Outcome(sum(found["user"] is not None for found in finds), sent)


async def _save(browser: Browser, *, rotates: bool) -> Exchange | None:
    """Make a request that saves the session of somebody who is logged in; None if nobody is."""
    request = browser.request()
    if await request.get("_auth_user_id") is None:
        return None  # revoked; or another process has just changed the key
    with contextlib.suppress(UpdateError):
        await request.put(n=random.random())  # noqa: S311 - no secret
        if rotates:
            await request.cycle_key()
    await request.respond(races=True)
    return request
