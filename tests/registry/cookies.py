"""A site whose sessions are in cookies with REVOCABLE, and what its tests ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from django.db import connections
from django.test.utils import CaptureQueriesContext

from django_multisession.registry.database import ask
from django_multisession.registry.models import RegisteredSession
from django_multisession.testing.drive import Drive
from tests.logins.conftest import Site
from tests.logins.site import VICTIM, Users
from tests.registry.sites import ALIAS

ENGINES = ("signed_cookies", "encrypted_cookies")
CACHES = {"redis": "redis_server", "memcached": "memcached_server", "none": None}
"""Each cache that remembers what was found, and the fixture of its server."""
BACKENDS = {
    "redis": "django.core.cache.backends.redis.RedisCache",
    "memcached": "django.core.cache.backends.memcached.PyMemcacheCache",
}


def site_with(settings: Any, engine: str, cache: str | None, drive: Drive) -> Site:
    """Return the site, with this cookie engine and this key of CACHES."""
    settings.SESSION_ENGINE = f"django_multisession.engines.{engine}"
    settings.MULTISESSION = {"default": {"REVOCABLE": True, "REVOCABLE_CACHE": cache}}
    settings.AUTHENTICATION_BACKENDS = [f"{Users.__module__}.{Users.__qualname__}"]
    return Site(engine, drive, 0)


async def live() -> list[RegisteredSession]:
    return await ask(lambda: list(RegisteredSession.objects.filter(revoked_at=None).order_by("pk")))


async def user_of(site: Site, key: str | None) -> Any:
    """Return whom the cookie lets in: as in a browser that has been given it, whoever it was made for."""
    request = site.browser(key).request()
    user = await request.user()
    await request.respond(races=True)
    return user.pk


@asynccontextmanager
async def queries() -> AsyncIterator[CaptureQueriesContext]:
    """Capture what the registry's database is asked, in the thread in which it is."""
    capture = await ask(lambda: CaptureQueriesContext(connections[ALIAS]))
    await ask(capture.__enter__)
    yield capture
    await ask(partial(capture.__exit__, None, None, None))


def victim() -> Any:
    return Users().get_user(VICTIM)
