"""The orders of test_orders.py with sessions in cookies: each step is a question to the registry's database."""

from __future__ import annotations

from typing import Any

import pytest

from django_multisession.registry import database
from django_multisession.stores import aliases
from django_multisession.testing.drive import Drive
from tests.logins.conftest import Site
from tests.registry.cookies import ENGINES, site_with
from tests.registry.steps import Steps
from tests.registry.test_orders import (  # noqa: F401 - tests, with the fixtures of this module
    _by_day,
    test_crash_in_a_login_leaves_the_visitor_and_nothing_that_a_revocation_does_not_end,
    test_crash_leaves_nothing_that_a_revocation_does_not_end,
    test_login_that_is_revoked_on_its_way_has_a_row_or_is_none,
    test_revoked_session_never_comes_back,
    test_two_requests_leave_one_row_for_a_login,
)

pytestmark = pytest.mark.slow


@pytest.fixture(params=ENGINES)
def site(request: pytest.FixtureRequest, registry: None, drive: Drive, settings: Any) -> Site:
    return site_with(settings, request.param, None, drive)


@pytest.fixture
def steps(site: Site, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Return what watches the registry's database."""
    found = Steps()
    on_connection = aliases.on_connection

    async def asked(query: Any) -> Any:
        return await found.take(lambda: on_connection(query))

    monkeypatch.setattr(database, "on_connection", asked)
    return found
