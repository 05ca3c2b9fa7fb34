"""A session that comes from where its FALLBACK says is known to the registry from then on, or is not let in."""

from __future__ import annotations

from typing import Any

import pytest

from django_multisession.envelope import REGISTERED
from django_multisession.registry import arevoke_all
from tests.contract.conftest import Backend
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Browser, Users
from tests.registry.test_rows import live

MEMORY = "django_multisession.engines.memory"


@pytest.fixture
def moves(site: Site, backend: Backend, settings: Any) -> Any:
    """Return what puts the site before the move, and after it."""
    if backend.name == "memory":
        pytest.skip("It is the old place.")
    entry = settings.MULTISESSION["default"]

    def moves(**fallback: Any) -> None:
        if fallback:
            settings.SESSION_ENGINE = backend.engine.__module__
            settings.MULTISESSION = {
                "default": {**entry, "FALLBACK": {"ENGINE": MEMORY, "UNTIL": "2100-01-01", **fallback}}
            }
        else:
            settings.SESSION_ENGINE, settings.MULTISESSION = MEMORY, {}

    return moves


async def without_registry(site: Site, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Return a browser that is logged in by a process that knows of no registry."""
    with monkeypatch.context() as patch:
        patch.setattr("django_multisession.sessions.registration.registrations.make", None)
        return await site.user(cart=["book"])


def test_session_that_is_carried_gets_its_row(site: Site, moves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        moves()
        browser = await without_registry(site, monkeypatch)
        assert await live() == []
        moves(CARRY=False)
        assert await browser.finds() == {"user": VICTIM, "cart": ["book"]}
        assert await live() == []  # where it is, there is no place for a mark
        moves(CARRY=True)
        for _ in range(2):
            exchange = await browser.visit(lambda request: request.look())
            (row,) = await live()
            assert (row.user_id, row.storage_key) == (VICTIM, exchange.session.stored_login().key)
            assert exchange.session.stored_login().header.flags & REGISTERED

    site.drive(check())


def test_session_whose_user_was_revoked_since_is_not_let_in(
    site: Site, moves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        moves()
        browser = await without_registry(site, monkeypatch)
        moves(CARRY=True)
        await arevoke_all(Users().get_user(VICTIM))
        for _ in range(2):
            assert await browser.finds() == {"user": None}
        assert await live() == []

    site.drive(check())


@pytest.mark.parametrize("carry", [True, False])
def test_session_that_is_revoked_where_it_is_does_not_come_here(site: Site, moves: Any, carry: bool) -> None:
    async def check() -> None:
        moves()
        browser = await site.user(cart=["book"])
        assert len(await live()) == 1
        moves(CARRY=carry)
        assert await arevoke_all(Users().get_user(VICTIM)) == 1
        assert await browser.finds() == {"user": None}

    site.drive(check())
