"""A cache of verdicts on cookies with REVOCABLE, so that not every request asks the database.

A request that has found a cookie valid adds that to the cache, for ACCEPTED_FOR seconds. One that ends a session sets,
after its transaction, that it has ended, for as long as the cookie may live. Adding never overwrites, so a late request
that has asked the database before a revocation cannot undo it.

If the cache has lost an item, or does not answer, the database is asked, which is always right. Only if the cache loses
or refuses a revocation's item can it call the cookie valid for up to ACCEPTED_FOR seconds.

No coroutines here: a cache is called where the database is, on the thread of Django's connections.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..breaker import report
from ..conf import Entry, entry
from ..envelope import SKEW
from ..exceptions import StoreUnavailable
from ..runtime import ALWAYS, Kept, cached, monotonic
from ..sessions.config import session_config
from ..sessions.records import POINTER_TTL
from ..stores.aliases import on_connection

ACCEPTED_FOR: Final = 5
"""Seconds for which the cache remembers that a cookie is valid."""
PAUSE: Final = 1.0
"""Seconds for which a cache that has failed is not asked whether a cookie is valid."""

_ENDED: Final = "revoked"
_LOCAL: Final = (LocMemCache, DummyCache, FileBasedCache)
"""Caches that not all processes on all hosts share."""

_failed_at: Kept[dict[str, float]] = Kept(dict, ALWAYS)


class Verdicts:
    """The verdicts in the cache of one session name, by the ``sid`` of a cookie and the id of its user."""

    def __init__(self, described: Entry) -> None:
        self._alias = described.revocable_cache
        self._name = described.name

    def of(self, sid: str, user: str) -> bool | None:
        """Tell whether a cookie may be used; None if the cache does not know, or does not answer."""
        if self._alias is None or monotonic() - _failed_at.value.get(self._alias, -PAUSE) < PAUSE:
            return None
        found = self._try(lambda cache: cache.get(_key(sid)))
        if found == _accepted(user):
            return True
        return False if isinstance(found, str) and found.startswith(_ENDED) else None

    def has_moved(self, sid: str) -> bool | None:
        """Tell whether a change of key has just replaced a cookie that was refused; None as for of()."""
        found = None if self._alias is None else self._try(lambda cache: cache.get(_key(sid)))
        if not isinstance(found, str) or not found.startswith(_ENDED):
            return None
        moved_at = found.removeprefix(_ENDED).strip()
        return bool(moved_at) and time.time() < int(moved_at) + POINTER_TTL

    def accept(self, sid: str, user: str) -> None:
        """Remember that the database has found a cookie valid, unless its session has ended since."""
        if self._alias is not None and self._alias not in _failed_at.value:
            self._try(lambda cache: cache.add(_key(sid), _accepted(user), ACCEPTED_FOR))

    def end(self, sids: Iterable[str], *, moved: bool = False) -> None:
        """Remember that sessions have ended, for as long as a cookie lives; StoreUnavailable if that is not possible.

        ``moved`` tells that they continue under another ``sid``. A cookie that lives longer, by set_expiry(), is then
        looked up in the database.
        """
        if self._alias is None:
            return
        ended = dict.fromkeys(map(_key, sids), f"{_ENDED} {int(time.time())}" if moved else _ENDED)
        seconds = session_config(self._name).cookie_age() + SKEW
        try:
            refused = caches[self._alias].set_many(ended, seconds)
        except Exception as error:
            raise self._unavailable(type(error).__name__) from error
        if refused:
            raise self._unavailable("it did not take all that it was to remember")

    def _try(self, ask: Callable[[Any], Any]) -> Any:
        """Return the cache's answer; None if it fails, with whatever exception its client has."""
        try:
            answer = ask(caches[self._alias or ""])
        except Exception as error:  # noqa: BLE001 - see above
            self._unavailable(type(error).__name__)
            return None
        _failed_at.value.pop(self._alias or "", None)
        return answer

    def _unavailable(self, reason: str) -> StoreUnavailable:
        """Note that the cache has failed, and log it; return the error."""
        _failed_at.value[self._alias or ""] = monotonic()
        failure = StoreUnavailable(f"CACHES[{self._alias!r}]", reason)
        report(failure)
        return failure


def _key(sid: str) -> str:
    return f"multisession.{sid}"


def _accepted(user: str) -> str:
    return f"ok {user}"


@cached
def verdicts_of(name: str) -> Verdicts:
    """Return the verdicts of a session name; ImproperlyConfigured if its cache cannot be used for them."""
    if found := problems(entry(name)):
        raise ImproperlyConfigured(found[0])
    return Verdicts(entry(name))


async def end(name: str, sids: Iterable[str], *, moved: bool = False) -> None:
    """Remember in the cache of a session name that sessions have ended. See Verdicts.end()."""
    await on_connection(partial(verdicts_of(name).end, list(sids), moved=moved))


def problems(described: Entry) -> list[str]:
    """Return a sentence for what is wrong with the cache that an entry's REVOCABLE_CACHE names, if anything."""
    alias, where = described.revocable_cache, f"MULTISESSION[{described.name!r}]['REVOCABLE_CACHE']"
    if alias is None:
        return []
    if alias not in settings.CACHES:
        return [f"{where} is {alias!r}; it must be a key of CACHES, one of {', '.join(map(repr, settings.CACHES))}."]
    kind = settings.CACHES[alias].get("BACKEND", "")
    try:
        found = import_string(kind)
    except ImportError as error:
        return [f"CACHES[{alias!r}]['BACKEND'] is {kind!r}, which cannot be imported: {error}."]
    if not issubclass(found, _LOCAL):
        return []
    return [
        f"{where} is {alias!r}, which is a {found.__name__}: other processes and hosts do not see what it remembers, "
        "and a session that was revoked would live on there. Name a key of CACHES that all share, on Redis or "
        "memcached for one, or None to ask the database about every cookie."
    ]
