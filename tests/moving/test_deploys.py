"""A site moves under its visitors, deploy by deploy and back from the first: nobody is logged out, no count is lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.databases import sqlite
from tests.moving.places import CACHES, PLACES, Place
from tests.moving.shops import Shop, prepare, start, stop
from tests.moving.traffic import Traffic, Visitor

SERVERS = {
    "redis": "redis_server",
    "memcached": "memcached_server",
    "mongodb": "mongodb_server",
    "postgresql": "postgresql_server",
    "db": None,
    "signed_cookies": None,
    "encrypted_cookies": None,
}
"""The engines of ours, and the fixtures of their servers."""
IN_COOKIES = {"signed_cookies", "encrypted_cookies"}
FOREIGN = {place.name: place for place in PLACES}
LEFT_OUT = {
    *(("db", "postgresql"), ("postgresql", "db")),
    *((name, "memcached") for name in (*IN_COOKIES, "foreign:signed_cookies")),
}
"""Sources and targets that share a table, or whose tombstones could get lost."""
CARRIED = 4
"""The first release of a move after whose deploy no process is left that knows of no FALLBACK."""
ORDINARY = {("foreign:db", "redis"), ("db", "signed_cookies")}
"""What is moved every time; the others are at night."""


def pairs() -> list[Any]:
    found = []
    for target in SERVERS:
        for source in (*SERVERS, *(f"foreign:{name}" for name in FOREIGN)):
            if (
                source == target
                or (source, target) in LEFT_OUT
                or (source, target) == ("foreign:signed_cookies", "memcached")
            ):
                continue
            marks = [pytest.mark.server, *([] if (source, target) in ORDINARY else [pytest.mark.nightly])]
            found.append(pytest.param(source, target, id=f"{source}-{target}", marks=marks))
    return found


@dataclass
class Move:
    """What the processes of a site have in its four states."""

    in_cookies: bool
    """Were sessions in cookies?"""
    into_cookies: bool
    common: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    fallback: dict[str, Any] = field(default_factory=dict)

    @property
    def old(self) -> dict[str, Any]:
        return {**self.common, **self.before}

    def new(self, **fallback: Any) -> dict[str, Any]:
        """Return the settings of the new engine with a FALLBACK."""
        entry = {**self.after["MULTISESSION"]["default"], "FALLBACK": {**self.fallback, **fallback}}
        return {**self.common, **self.after, "MULTISESSION": {"default": entry}}

    def back(self) -> Move:
        """Return the move back, between engines of ours."""
        fallback = {"ENGINE": self.after["SESSION_ENGINE"], "UNTIL": self.fallback["UNTIL"]}
        fallback |= self.after["MULTISESSION"]["default"]
        return Move(self.into_cookies, self.in_cookies, self.common, self.after, self.before, fallback)

    @property
    def alone(self) -> dict[str, Any]:
        return {**self.common, **self.after}


@pytest.fixture
def move(request: pytest.FixtureRequest, source: str, target: str, tmp_path: Path) -> Move:
    def server_of(fixture: str | None) -> Any:
        return request.getfixturevalue(fixture).location if fixture else None

    # Django's database cache reads before it writes, and takes SQLite's "database is locked" in silence.
    database = sqlite(tmp_path, transaction_mode="IMMEDIATE", timeout=60)
    database["OPTIONS"]["init_command"] += "; PRAGMA synchronous=OFF"  # no power fails here
    database["NAME"] = str(database["NAME"])
    common: dict[str, Any] = {"DATABASES": {"default": database}}

    def entry(name: str) -> dict[str, Any]:
        location = server_of(SERVERS[name])
        if name == "postgresql":
            common["DATABASES"]["sessions"] = dict(location)
            location = "sessions"
        found = {"KEY_PREFIX": secrets.token_hex(4), "TIMEOUT": 20.0}
        return found if location is None else {"LOCATION": location, **found}

    def settings(name: str) -> dict[str, Any]:
        return {"SESSION_ENGINE": f"django_multisession.engines.{name}", "MULTISESSION": {"default": entry(name)}}

    place = FOREIGN.get(source.removeprefix("foreign:")) if source.startswith("foreign:") else None
    if place is None:
        before = settings(source)
        fallback = {"ENGINE": before["SESSION_ENGINE"], **before["MULTISESSION"]["default"]}
    else:
        package = place.app or "django.contrib.sessions"
        before = {"SESSION_ENGINE": place.engine, "SESSIONS": f"{package}.middleware.SessionMiddleware"}
        fallback = {"ENGINE": place.engine, "ALLOW_PICKLE": place.pickles, "TIMEOUT": 20.0}
        common.update(_of(place, server_of(place.server), tmp_path))
    fallback["UNTIL"] = "2100-01-01"
    return Move(
        in_cookies=source.removeprefix("foreign:") in IN_COOKIES,
        into_cookies=target in IN_COOKIES,
        common=common,
        before=before,
        after=settings(target),
        fallback=fallback,
    )


def _of(place: Place, location: Any, directory: Path) -> dict[str, Any]:
    """Return the settings that the engine of a place needs; see places.configured()."""
    changes: dict[str, Any] = {"SESSION_FILE_PATH": str(directory), **place.settings}
    if place.cache is not None:
        location = {"database": "cached_sessions", "files": str(directory)}.get(place.cache, location)
        cache = {"BACKEND": CACHES[place.cache], "KEY_PREFIX": secrets.token_hex(4), "LOCATION": location}
        dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        changes |= {"CACHES": {"default": dummy, "sessions": cache}, "SESSION_CACHE_ALIAS": "sessions"}
    if place.app is not None:
        changes["APPS"] = [place.app]
    return changes


@dataclass
class Deployed:
    """What has become of a site: its traffic, who has logged out, and the first process that it had."""

    traffic: Traffic
    ended: list[Visitor]
    first: Shop


@contextmanager
def deployed(
    move: Move, releases: list[dict[str, Any]], carried: int, *, nightly: bool, looks: bool = True
) -> Iterator[Deployed]:
    """Have visitors count while each of some releases is deployed, process by process.

    One logs in and one logs out at each step. ``carried`` is the number of the release from which on a logout is final
    for cookies as well.
    """
    visitors = [Visitor(number) for number in range(1, (100 if nightly else 8) + 1)]
    # Each deploy puts processes of its own in the place of those before. All run when it begins: what a process needs
    # to start is no part of the move.
    shops = [[Shop(settings), Shop(settings)] for settings in releases]
    traffic = Traffic(visitors, shops[0].copy())
    ended: list[Visitor] = []
    final: list[tuple[Visitor, dict[str, str]]] = []
    """Those of them whose cookies lead to nobody any more, and these cookies."""
    with ExitStack() as stack:
        every = [shop for release in shops for shop in release]
        stack.callback(stop, every)
        start(every)
        for visitor in visitors:
            visitor.login(traffic.shops[0])

        def comes_and_goes(*, is_carried: bool) -> None:
            """One more visitor logs in, and another one logs out, for good."""
            traffic.joins(Visitor(1000 + len(ended), looks))
            left = traffic.visitors[0]
            jar = traffic.logs_out(left)
            ended.append(left)
            # Nobody can revoke what is in a cookie, unless all processes look whether it has ended on a server.
            if _is_key(jar["sessionid"]) or (is_carried and not move.into_cookies):
                final.append((left, jar))
            for visitor, brought in final:
                for shop in traffic.shops:
                    assert visitor.ask(shop, "/look", brought)["user"] is None

        with traffic.under_way():
            for stage, release in enumerate(shops[1:], 1):
                for number, shop in enumerate(release):
                    with traffic.deployed(number, shop):
                        comes_and_goes(is_carried=stage >= carried)
        yield Deployed(traffic, ended, shops[0][0])


@pytest.mark.parametrize(("source", "target"), pairs())
def test_nobody_notices_the_move(move: Move, nightly: bool) -> None:
    prepare(move.new())
    before, beside, carrying, after = move.old, move.new(CARRY=False), move.new(), move.alone
    # django-user-sessions and django-qsessions write a whole session for a page that reads one whose browser they do
    # not know, as ours made it: so a count is lost between processes of theirs, too.
    looks = "APPS" not in move.common
    releases = [before, beside, before, beside, carrying, after]
    with deployed(move, releases, CARRIED, nightly=nightly, looks=looks) as done:
        if not move.in_cookies:
            # What has gone into a cookie stays there for a minute (test_into_cookies.py), unless its visitor logs out;
            # a process without FALLBACK, as the last two can be, knows nothing of it.
            left = done.ended[:-2] if move.into_cookies else [*done.ended, *done.traffic.visitors]
            _is_left_empty(done.first, left)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("redis", "postgresql", marks=pytest.mark.server),
        pytest.param("mongodb", "redis", marks=[pytest.mark.server, pytest.mark.nightly]),
        pytest.param("db", "encrypted_cookies", marks=[pytest.mark.server, pytest.mark.nightly]),
    ],
)
def test_nobody_notices_the_move_and_the_one_back_again(move: Move, nightly: bool) -> None:
    """By a FALLBACK the other way round: all that was carried comes back, and what has ended stays so."""
    prepare(move.new())
    back = move.back()
    releases = [move.old, move.new(CARRY=False), move.new(), back.new(CARRY=False), back.new(), back.alone]
    with deployed(move, releases, len(releases), nightly=nightly) as done, ExitStack() as stack:
        if not move.into_cookies:
            between = Shop(move.alone)
            stack.callback(stop, [between])
            start([between])
            _is_left_empty(between, [*done.ended, *done.traffic.visitors])


def _is_key(cookie: str) -> bool:
    """Tell whether a cookie leads to a session on a server, and is not one itself."""
    return len(cookie) <= 64


def _is_left_empty(old: Shop, visitors: list[Visitor]) -> None:
    """See to it that nothing is left in a place."""
    for visitor in visitors:
        for key in filter(_is_key, visitor.keys):
            assert visitor.ask(old, "/look", {"sessionid": key})["user"] is None
