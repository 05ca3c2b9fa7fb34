"""A source whose server is away says so, and never that there is no session."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.cache.backends.redis import RedisCache
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from django_multisession.bridge import run_sync
from django_multisession.exceptions import StoreUnavailable
from django_multisession.moving.source import Found, New, Removal, Source
from django_multisession.moving.sources import source_of
from django_multisession.moving.sources.own_caches import OwnCache
from django_multisession.runtime import Event, reset
from django_multisession.sessions.loading import session_class
from django_multisession.testing.drive import Drive, driving, either
from django_multisession.testing.servers.proxy import Proxy
from tests.conftest import on_servers
from tests.moving.places import DJANGOS, PLACES, Place, configured
from tests.timing import late

pytestmark = [pytest.mark.django_db(transaction=True)]
HOUR = 3600
TIMEOUT = 1.0  # seconds
CACHES = [p for p in PLACES if p.engine == f"{DJANGOS}.cache" and p.server]
PATIENT = {"socket_timeout": 30, "socket_connect_timeout": None}
FORGIVING: dict[str, dict[str, Any]] = {
    "redis": PATIENT,
    "memcached": {"ignore_exc": True, "timeout": 30},
    "django_redis": {"IGNORE_EXCEPTIONS": True},
}
"""Options under which a cache waits for its server for long, and says "nothing there" when that is away."""


def by_name(name: str) -> Place:
    return next(place for place in PLACES if place.name == name)


@pytest.fixture(params=[pytest.param(p, id=p.name, marks=pytest.mark.server) for p in CACHES])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Place, Proxy[Any]]]:
    place: Place = request.param
    server = request.getfixturevalue(str(place.server))
    reset()
    with Proxy(server) as proxy, configured(place, proxy.location, tmp_path, **FORGIVING.get(str(place.cache), {})):
        yield place, proxy
        proxy.restore()
    reset()


@pytest.fixture(params=["sync", "async"])
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    with driving(request.param, lambda: None) as drive:
        yield drive


def saved(place: Place) -> str:
    session = place.store()
    session["n"] = 1
    session.save()
    return str(session.session_key)


def read_again(drive: Drive, source: Source, key: str) -> Found:
    """Return what is read once the source's breaker has closed."""
    for _ in range(100):
        try:
            found = drive(source.read(key))
        except StoreUnavailable:
            time.sleep(0.1)
            continue
        assert isinstance(found, Found)
        return found
    raise AssertionError("it did not come back")


class Recording(RedisCache):
    """Tells with which options it was made."""

    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        Recording.options = params["OPTIONS"]


def test_limits_of_a_cache_are_the_shorter_ones() -> None:
    options = {"socket_timeout": 0.1, "socket_connect_timeout": 30}
    described = {"BACKEND": f"{__name__}.Recording", "LOCATION": "redis://127.0.0.1:1", "OPTIONS": options}
    with override_settings(CACHES={"sessions": described}):
        assert isinstance(OwnCache("sessions", timeout=0.5).cache, Recording)
    assert Recording.options == {"socket_timeout": 0.1, "socket_connect_timeout": 0.5}


def test_cache_that_is_away_is_unavailable_and_not_empty(proxied: tuple[Place, Proxy[Any]], drive: Drive) -> None:
    place, proxy = proxied
    key = saved(place)
    source = source_of(place.fallback(entry={"timeout": 2.0}))
    found = drive(source.read(key))
    assert isinstance(found, Found)
    proxy.refuse()
    for _ in range(5):  # the first time, and after what the client makes of that
        with pytest.raises(StoreUnavailable):
            drive(source.read(key))
        with pytest.raises(StoreUnavailable):
            drive(source.remove(key, found))
        with pytest.raises(StoreUnavailable):
            drive(source.write(found, New({"n": 2}, HOUR)))
    proxy.restore()
    assert read_again(drive, source, key).data == {"n": 1}
    assert drive(source.remove(key, found)) is Removal.REMOVED


def test_cache_that_hangs_is_unavailable_within_its_time(proxied: tuple[Place, Proxy[Any]], drive: Drive) -> None:
    place, proxy = proxied
    if place.cache == "django_redis":
        pytest.skip("it shares its connections with the project, and so the limits that the project has set")
    key = saved(place)
    source = source_of(place.fallback(entry={"timeout": TIMEOUT}))
    assert drive(source.read(key)) is not None
    proxy.blackhole()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        drive(source.read(key))
    assert time.monotonic() - began < late(TIMEOUT)
    proxy.restore()
    assert read_again(drive, source, key).data == {"n": 1}


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("engine", on_servers({name: f"{name}_server" for name in ("redis", "memcached", "mongodb")}))
def test_old_place_that_hangs_holds_nobody_beyond_the_time(
    request: pytest.FixtureRequest, engine: str, carry: bool, drive: Drive
) -> None:
    there, here = f"django_multisession.engines.{engine}", request.getfixturevalue("redis_server").location

    async def visit(key: str | None = None) -> Any:
        session = session_class("default")(key)
        count: Any = (await either(session.get, session.aget, "n")) or 0
        await either(session.update, session.aupdate, {"n": count + 1})
        await either(session.save, session.asave)
        return session.session_key

    reset(Event.TEST)
    with Proxy[Any](request.getfixturevalue(f"{engine}_server")) as proxy:
        old = {"LOCATION": proxy.location, "KEY_PREFIX": secrets.token_hex(4)}
        with override_settings(SESSION_ENGINE=there, MULTISESSION={"default": {**old, "TIMEOUT": 20}}):
            keys = [drive(visit()) for _ in range(2)]
        fallback = {"ENGINE": there, "UNTIL": "2030-01-01", "CARRY": carry, **old}
        moving = {"LOCATION": here, "KEY_PREFIX": "moved", "FALLBACK": fallback, "TIMEOUT": TIMEOUT}
        with override_settings(SESSION_ENGINE="django_multisession.engines.redis", MULTISESSION={"default": moving}):
            proxy.blackhole()
            for key in keys:
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    drive(visit(key))
                assert time.monotonic() - began < late(TIMEOUT)
            proxy.restore()
    reset(Event.TEST)


@pytest.mark.server
def test_cached_db_without_its_cache_is_read_and_not_removed(
    request: pytest.FixtureRequest, tmp_path: Path, drive: Drive
) -> None:
    place = by_name("cached_db-memcached")
    with Proxy(request.getfixturevalue("memcached_server")) as proxy, configured(place, proxy.location, tmp_path):
        key = saved(place)
        source = source_of(place.fallback(entry={"timeout": 2.0}))
        proxy.refuse()
        found = drive(source.read(key))
        assert isinstance(found, Found)
        with pytest.raises(StoreUnavailable):  # its copy would stay
            drive(source.remove(key, found))
        assert drive(source.write(found, New({"n": 2}, HOUR))) is not None
        proxy.restore()
    reset()


def test_file_source_without_its_directory_names_the_setting(tmp_path: Path, drive: Drive) -> None:
    with override_settings(SESSION_FILE_PATH=str(tmp_path / "gone")):
        source = source_of(by_name("file").fallback())
        with pytest.raises(ImproperlyConfigured, match="SESSION_FILE_PATH"):
            drive(source.read("a" * 32))


def test_table_source_without_its_table_names_it(drive: Drive) -> None:
    source = source_of(by_name("db").fallback())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_session RENAME TO elsewhere")
    try:
        with pytest.raises(ImproperlyConfigured, match="django_session"):
            drive(source.read("a" * 32))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO django_session")


@pytest.mark.server
def test_cache_with_replicas_is_read_where_it_is_written(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    primary = request.getfixturevalue("redis_server").location
    replica = request.getfixturevalue("newest_redis_server").location  # which lags, for good
    for name in ("cache-redis", "cache-django_redis"):
        place = by_name(name)
        reset()
        with configured(place, [primary, replica], tmp_path):
            source = source_of(place.fallback())
            created = run_sync(source.create("a" * 32, New({"n": 1}, HOUR)))
            assert created is not None
            assert run_sync(source.read("a" * 32)) is not None
    reset()
