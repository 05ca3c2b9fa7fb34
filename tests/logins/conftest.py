"""Django's logins on every engine that keeps sessions on a server, in both colours."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import pytest

from django_multisession import middleware
from django_multisession.testing.drive import Drive, SyncDrive, driving
from tests.contract.conftest import Backend, backend, postgresql_alias, sqlite_alias  # noqa: F401 - fixtures
from tests.logins.site import Browser, Users, nothing, orders

T = TypeVar("T")


class Site:
    """The project: how often orders are tried, and its browsers."""

    def __init__(self, engine: str, drive: Drive, most: int, *, is_nightly: bool = False) -> None:
        self.engine = engine
        self.drive = drive
        self.colour = "sync" if isinstance(drive, SyncDrive) else "async"
        self.most = most
        self.is_nightly = is_nightly
        self.is_exhaustive = is_nightly and engine == "memory"
        self.middleware = middleware.SessionMiddleware(nothing)

    def browser(self, key: str | None = None) -> Browser:
        return Browser(self.middleware, key)

    def orders(self, *lengths: int, most: int | None = None) -> Iterator[tuple[int, ...]]:
        """Yield orders of so many steps of each, ``most`` of them; each engine draws others."""
        return orders(lengths, self.most if most is None else most, self.engine)

    def some(self, tried: Iterator[T]) -> Sequence[T]:
        """Return those of all orders that are tried: at night all that take minutes, else ``most`` of them."""
        every = list(tried)
        allowed = self.most if not self.is_nightly else 7_200 if self.engine == "memory" else 720
        return every if len(every) <= allowed else random.Random(self.engine).sample(every, self.most)  # noqa: S311 - no secret

    async def visitor(self, **data: Any) -> Browser:
        """Return a browser that has a session with this data; all passwords are as at first."""
        Users.passwords.clear()
        browser = self.browser()
        await browser.visit(lambda request: request.put(**data))
        return browser

    async def user(self, **data: Any) -> Browser:
        """Return a browser that is logged in."""
        browser = await self.visitor(**data)
        await browser.visit(lambda request: request.login())
        return browser


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, lambda: None) as drive:
        yield drive


@pytest.fixture
def site(backend: Backend, drive: Drive, settings: Any, nightly: bool) -> Site:  # noqa: F811 - the fixture
    settings.SESSION_ENGINE = backend.engine.__module__
    settings.MULTISESSION = {"default": {"TIMEOUT": 20.0, **backend.entry}}
    settings.AUTHENTICATION_BACKENDS = [f"{Users.__module__}.{Users.__qualname__}"]
    # Each order is some twenty operations: in memory all of two requests are tried, which are 70, elsewhere a part.
    by_day, by_night = (70, 700) if backend.name == "memory" else (5, 200)
    return Site(backend.name, drive, by_night if nightly else by_day, is_nightly=nightly)


@pytest.fixture
def alias(site: Site, settings: Any) -> str:
    """The database in whose transactions a view's writes to its session take part."""
    if not site.engine.startswith("db"):
        pytest.skip("Its sessions are in no transaction of Django's.")
    if site.colour == "async":
        pytest.skip("A transaction of Django's belongs to a thread.")
    found: str = settings.MULTISESSION["default"]["LOCATION"]
    return found
