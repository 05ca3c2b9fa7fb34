"""ABSOLUTE_TIMEOUT and IDLE_TIMEOUT of every engine: neither use nor a copied cookie keeps a session alive for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from django_multisession.testing.drive import Drive, driving
from django_multisession.testing.visits import Visit
from tests.contract.conftest import Backend

DAY = 86400
FORTNIGHT = 14 * DAY
"""Django's SESSION_COOKIE_AGE."""


class Site:
    """One engine whose clock can be moved; ``await site.store(…)`` and ``read()`` are requests."""

    def __init__(self, engine: Any, entry: dict[str, Any], stack: ExitStack) -> None:
        self._entry, self._stack = entry, stack
        self.session_class = type(
            "SessionStore", (engine,), {"ahead": 0, "clock": lambda session: engine.clock(session) + session.ahead}
        )
        self.configure()

    def configure(self, **changes: Any) -> None:
        self._stack.enter_context(override_settings(MULTISESSION={"default": {**self._entry, **changes}}))

    def wait(self, seconds: float) -> None:
        self.session_class.ahead += seconds  # type: ignore[attr-defined]  # its class has a clock of its own

    async def store(self, expiry: Any = None, **data: Any) -> str:
        return await Visit(self.session_class()).store(data, expiry)

    async def use(self, key: str, **data: Any) -> str | None:
        """Make a request that changes something; return the key that it ends with, None if there was no session."""
        visit = Visit(self.session_class(key))
        if not await visit.data():
            return None
        for name, value in {"n": self.session_class.ahead, **data}.items():  # type: ignore[attr-defined]  # its class has a clock of its own
            await visit.set(name, value)
        await visit.save()
        return visit.key  # type: ignore[no-any-return]  # a text or None


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, bool) as drive:
        yield drive


@pytest.fixture
def on_server(backend: Backend) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(backend.engine, {"TIMEOUT": 20.0, **backend.entry}, stack)


@pytest.fixture(params=["signed_cookies", "encrypted_cookies"])
def in_cookies(request: pytest.FixtureRequest) -> Iterator[Site]:
    engine = import_module(f"django_multisession.engines.{request.param}").SessionStore
    with ExitStack() as stack:
        yield Site(engine, {}, stack)


async def _used_until(site: Site, key: str | None, every: int, until: int) -> int:
    """Use a session every so many seconds; return when it was found to be over."""
    waited = 0
    while waited < until:
        site.wait(every)
        waited += every
        key = key and await site.use(key)
        if key is None:
            return waited
    return waited


# In cookies, by default.


def test_copied_cookie_that_is_used_does_not_live_for_ever(in_cookies: Site, drive: Drive) -> None:
    async def scenario() -> None:
        key = await in_cookies.store(_auth_user_id="1")
        assert await _used_until(in_cookies, key, 13 * DAY, 3650 * DAY) in (39 * DAY, 26 * DAY)

    drive(scenario())


def test_longer_expiry_of_a_cookie_session_lengthens_its_end(in_cookies: Site, drive: Drive) -> None:
    async def scenario() -> None:
        key = await in_cookies.store(expiry=100 * DAY, a=1)
        assert await _used_until(in_cookies, key, 90 * DAY, 3650 * DAY) == 270 * DAY

    drive(scenario())


def test_cookie_session_that_ends_at_a_given_time_has_no_other_end(in_cookies: Site, drive: Drive) -> None:
    async def scenario() -> None:
        key = await in_cookies.store(expiry=timezone.now() + timedelta(days=100), a=1)
        assert await _used_until(in_cookies, key, 30 * DAY, 90 * DAY) == 90 * DAY
        assert await in_cookies.use(key) is not None

    drive(scenario())


def test_login_begins_the_time_of_a_cookie_session_anew(in_cookies: Site, drive: Drive) -> None:
    async def scenario() -> None:
        key: str | None = await in_cookies.store(a=1)
        in_cookies.wait(13 * DAY)
        key = await in_cookies.use(str(key))
        in_cookies.wait(13 * DAY)
        key = await in_cookies.use(str(key), _auth_user_id="1")
        in_cookies.wait(13 * DAY)
        key = await in_cookies.use(str(key))
        assert key is not None
        in_cookies.wait(13 * DAY)
        assert await in_cookies.use(key) is not None

    drive(scenario())


def test_cookie_sessions_can_be_without_an_end(in_cookies: Site, drive: Drive) -> None:
    async def scenario() -> None:
        in_cookies.configure(ABSOLUTE_TIMEOUT=0)
        assert await _used_until(in_cookies, await in_cookies.store(a=1), 13 * DAY, 100 * DAY) >= 100 * DAY

    drive(scenario())


# What is set.


def test_absolute_timeout_of_cookies_ends_them(in_cookies: Site, drive: Drive) -> None:
    _ends(in_cookies, drive)


def test_absolute_timeout_ends_a_session_that_is_used(on_server: Site, drive: Drive) -> None:
    _ends(on_server, drive)


def _ends(site: Site, drive: Drive) -> None:
    async def scenario() -> None:
        site.configure(ABSOLUTE_TIMEOUT=10 * DAY)
        key = await site.store(a=1)
        visit = Visit(site.session_class(key))
        await visit.data()
        assert 10 * DAY - 5 <= await visit.get_expiry_age() <= 10 * DAY
        assert await _used_until(site, key, 3 * DAY, 30 * DAY) == 12 * DAY

    drive(scenario())


def test_absolute_timeout_that_was_set_later_ends_older_sessions(on_server: Site, drive: Drive) -> None:
    async def scenario() -> None:
        key = await on_server.store(a=1)
        on_server.wait(2 * DAY)
        on_server.configure(ABSOLUTE_TIMEOUT=DAY)
        assert await on_server.use(key) is None

    drive(scenario())


def test_idle_timeout_ends_what_is_not_used(on_server: Site, drive: Drive) -> None:
    _idles(on_server, drive)


def test_idle_timeout_of_cookies_ends_what_is_not_used(in_cookies: Site, drive: Drive) -> None:
    _idles(in_cookies, drive)


def _idles(site: Site, drive: Drive) -> None:
    async def scenario() -> None:
        site.configure(IDLE_TIMEOUT=1800)
        key: str | None = await site.store(a=1)
        for _ in range(3):
            site.wait(1500)
            key = await site.use(str(key))
            assert key is not None
        site.wait(1800 + 3600 + 60)  # by less, a server's clock decides
        assert await site.use(str(key)) is None

    drive(scenario())


def test_server_sessions_have_no_end_by_default(on_server: Site, drive: Drive) -> None:
    async def scenario() -> None:
        assert await _used_until(on_server, await on_server.store(a=1), 10 * DAY, 60 * DAY) == 60 * DAY

    drive(scenario())


Configured = Callable[..., None]


@pytest.mark.parametrize("key", ["ABSOLUTE_TIMEOUT", "IDLE_TIMEOUT"])
@pytest.mark.parametrize("value", [-1, 1.5, "3600", True])
def test_wrong_timeout_is_refused(key: str, value: object) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from django_multisession.conf import entry

    with override_settings(MULTISESSION={"default": {key: value}}), pytest.raises(ImproperlyConfigured, match=key):
        entry("default")
