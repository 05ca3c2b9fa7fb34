"""What the registry costs: one write at login, at a change of key, at logout, and in a while of use; else nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from django_multisession.registry import following, models
from django_multisession.registry.database import ask
from django_multisession.registry.policy import LAST_SEEN
from django_multisession.sessions.registration import registrations
from tests.logins.conftest import Site
from tests.logins.site import Exchange
from tests.registry.sites import ALIAS
from tests.registry.test_rows import live

TABLES = [model._meta.db_table for model in (models.RegisteredSession, models.RegisteredUser, models.PendingDeletion)]


class Queries(list[str]):
    """The statements that were sent to the registry's tables, by their first word."""

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if any(table in sql for table in TABLES):
            self.append(sql.split(maxsplit=1)[0])
        return execute(sql, params, many, context)


@contextmanager
def counted(site: Site) -> Iterator[Queries]:
    """Give the statements that a visit sends; of the thread of the test, or of that which serves its event loop."""
    queries = Queries()

    def on() -> None:
        connections[ALIAS].execute_wrappers.append(queries)

    def off() -> None:
        connections[ALIAS].execute_wrappers.remove(queries)

    site.drive(ask(on))
    try:
        yield queries
    finally:
        site.drive(ask(off))


def of(site: Site, browser: Any, *views: Any) -> list[str]:
    async def view(request: Exchange) -> None:
        for act in views:
            await act(request)

    with counted(site) as queries:
        site.drive(browser.visit(view))
    return list(queries)


def test_requests_ask_for_what_they_change_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "is_due", lambda *times: False)  # a new window may begin at any moment
    browser = site.drive(site.visitor(cart=["book"]))
    assert of(site, browser, Exchange.look) == []
    assert of(site, browser, lambda request: request.put(n=1)) == []
    assert of(site, browser, Exchange.cycle_key) == []
    assert of(site, browser, Exchange.login) == ["INSERT", "SELECT"]  # whether the user was revoked meanwhile
    assert of(site, browser, Exchange.look) == []
    assert of(site, browser, lambda request: request.put(n=2)) == []
    assert of(site, browser, Exchange.cycle_key) == ["UPDATE"]
    assert of(site, browser, Exchange.login) == ["UPDATE"]  # the same user once more
    assert of(site, browser, Exchange.logout) == ["UPDATE"]
    assert of(site, browser, Exchange.logout) == []
    assert of(site, browser, Exchange.look) == []


def test_use_is_written_down_once_in_a_while(site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = site.drive(site.user())
    (before,) = site.drive(live())
    setattr(settings, LAST_SEEN, 300)
    clock = type(browser.request().session).clock

    def ahead(seconds: float) -> None:
        monkeypatch.setattr(type(browser.request().session), "clock", lambda session: clock(session) + seconds)

    ahead(301)
    assert of(site, browser, Exchange.look) == ["UPDATE"]
    (after,) = site.drive(live())
    assert (after.last_seen - before.last_seen).total_seconds() > 299
    assert after.expires_at == before.expires_at  # being read prolongs no session
    assert of(site, browser, Exchange.look) == []
    ahead(602)
    assert of(site, browser, lambda request: request.put(n=1)) == ["UPDATE"]
    assert of(site, browser, lambda request: request.put(n=2)) == []
    ahead(903)
    assert of(site, browser, Exchange.cycle_key) == ["UPDATE"]


def test_write_that_lengthens_a_life_is_written_down(site: Site) -> None:
    browser = site.drive(site.user())
    (before,) = site.drive(live())

    async def lengthen(request: Exchange) -> None:
        await request.put(_session_expiry=30 * 86400)

    assert of(site, browser, lengthen) == ["UPDATE"]
    (after,) = site.drive(live())
    assert (after.expires_at - before.expires_at).days > 10


def test_session_that_was_revoked_behind_its_back_ends_with_its_use(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between the mark and the deletion."""

    browser, other = site.drive(site.user()), site.drive(site.user())
    site.drive(ask(lambda: models.RegisteredSession.objects.all().delete()))
    session = type(browser.request().session)
    clock = session.clock
    assert site.drive(browser.finds())["user"] is not None
    monkeypatch.setattr(session, "clock", lambda session: clock(session) + 301)
    site.drive(browser.visit(Exchange.look))
    assert site.drive(browser.finds())["user"] is None
    request = other.request()
    site.drive(request.put(n=1))
    site.drive(request.respond())
    assert request.response.status_code == 400
    assert site.drive(other.finds())["user"] is None


def test_nothing_is_asked_where_nothing_follows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrations, "make", None)
    browser = site.drive(site.visitor(cart=["book"]))
    for view in (Exchange.login, Exchange.look, Exchange.cycle_key, Exchange.logout):
        assert of(site, browser, view) == []
    assert browser.request().session.registration is None
