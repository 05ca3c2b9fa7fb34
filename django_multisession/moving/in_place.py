"""A FALLBACK with "CARRY": False for a cookie engine.

A visitor with a cookie of ours has a CookieSession. Everybody else's session is read, created, changed and ended in the
place before: it is a ServerSession on the source, with a store here that keeps nothing.
"""

from collections.abc import Iterable
from typing import Any

from ..runtime import cached
from ..sessions.config import session_config
from ..sessions.loading import named
from ..sessions.repository import Repository
from ..sessions.server import ServerSession
from ..stores.base import Record, Store, StoreOptions
from .beside import Beside
from .composition import source_for
from .ours import is_ours


class Nowhere(Store):
    """A store that keeps nothing, neither sessions nor tombstones."""

    local = True
    keeps_tombstones = False

    @property
    def name(self) -> str:
        return "the browsers' cookies"

    async def read(self, key: str) -> Record | None:
        return None

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        return version

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        return None

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        return False

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        pass

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return set()


class SessionThere(ServerSession):
    """A session in the place that FALLBACK names."""

    store_class = Nowhere

    @classmethod
    def repository(cls) -> Repository:
        return _repository(cls.session_name)


@cached
def _repository(name: str) -> Repository:
    config = session_config(name)
    source = source_for(config)
    assert source is not None  # noqa: S101 - session_there() has checked it
    places = Beside(Nowhere(StoreOptions()), config, source)
    source.keeps_keys = False  # carried, they get a sid
    return Repository(places, config)


def session_there(session: Any, value: str | None) -> SessionThere | None:
    """Return the session in the place that FALLBACK names, for a class of cookie sessions and a request's cookie.

    None if the cookie is one of ours, or of neither place; and if the FALLBACK carries, or there is none.
    """
    config = session.config()
    fallback = config.entry.fallback
    if fallback is None or fallback.carry:
        return None
    there: Any = named(SessionThere, session.session_name)
    places: Any = there.repository().records
    if places.is_over or (value is not None and (is_ours(session.codec(), value) or not places.source.accepts(value))):
        return None
    found: SessionThere = there(value)
    return found
