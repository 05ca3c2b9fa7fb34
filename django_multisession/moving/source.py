"""The interface of a source: the place where sessions were kept before, in the format of the engine that wrote them.

A source knows one session name of one FALLBACK. Its operations are ``async def`` bodies for both colours (bridge.py):
driven by run_sync(), or in a loop of async_to_sync, they must not suspend; in any other loop, synchronous calls go to a
thread.

A session that is absent is None; a place that does not answer is StoreUnavailable, which names the location without its
password; a session that cannot be read is InvalidRecord. The three are never confused: an outage that is taken for an
absence logs visitors out. After a lost reply, a session that is gone counts as removed by the caller.
"""

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final

from ..breaker import report
from ..conf import Fallback
from ..exceptions import InvalidRecord, StoreUnavailable
from ..stores.base import Store

BY_ITSELF: Final = (
    "each session moves with its visitor's next request, and whoever does not come until UNTIL has to log in again"
)
"""What happens if sessions cannot be listed, as the end of a sentence."""
NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Found:
    """A session as a source holds it.

    ``data`` includes Django's own values, such as ``_session_expiry``. ``age`` is how many seconds it has left, 1 or
    more; an upper bound if the source cannot tell. Times are seconds since 1970, 0 if they are not known. ``options``
    are what our engines keep beside the data (see Body). ``token`` is opaque: by it, remove() and write() find out
    whether the session has changed. ``key`` is its session key.
    """

    key: str = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    age: int
    token: Any = field(repr=False)
    created_at: int = 0
    authenticated_at: int = 0
    options: Mapping[str, Any] = field(default_factory=lambda: NO_OPTIONS, repr=False)


@dataclass(frozen=True, slots=True)
class New:
    """A session to be written to a source; see Found for the fields.

    What the source's format cannot hold is dropped; ``age`` counts from now on.
    """

    data: dict[str, Any] = field(repr=False)
    age: int
    created_at: int = 0
    authenticated_at: int = 0
    options: Mapping[str, Any] = field(default_factory=lambda: NO_OPTIONS, repr=False)


@dataclass(frozen=True, slots=True)
class FoundMoved:
    """A pointer of one of our engines: ``key`` is the session key under which the session continues."""

    key: str = field(repr=False)


class Removal(enum.Enum):
    """The result of removing a session as it was found."""

    REMOVED = "it was there as found, and is removed"
    GONE = "it was gone: somebody has ended it"
    CHANGED = "it was changed, and is still there"


class Source:
    """A place where sessions were kept before. Constructors do no I/O; ImproperlyConfigured for a wrong FALLBACK."""

    in_cookies: ClassVar[bool] = False
    """Is the session key the session itself? Then nothing can be removed, and each write makes a new key."""
    hashes_keys: ClassVar[bool] = False
    """Does it keep only hashes of session keys? Then scan() yields these."""
    keeps_keys = False
    """Do sessions that are carried from here keep their storage keys? Set by whoever carries them."""
    why_not_scannable: ClassVar[str] = ""
    """Why scan() is not possible, as a sentence without its full stop; empty if it is possible."""

    def __init__(self, fallback: Fallback) -> None:
        self.fallback = fallback

    @property
    def store(self) -> Store | None:
        """The store of one of our engines; None for other engines."""
        return None

    @property
    def name(self) -> str:
        """The location as it may be logged and shown: without a password."""
        raise NotImplementedError

    @property
    def pickles(self) -> bool:
        """Whether reading loads pickles, which run whatever code they name: that needs ALLOW_PICKLE."""
        return False

    def accepts(self, key: str) -> bool:
        """Tell, without I/O, whether a key that came with a request can be one of this source's."""
        raise NotImplementedError

    async def read(self, key: str) -> Found | FoundMoved | None:
        """Return the live session under an accepted key; None if there is none."""
        raise NotImplementedError

    async def look(self, key: str) -> Found | FoundMoved | None:
        """See read(). InvalidRecord as well if the place does not answer, and the FALLBACK is not REQUIRED."""
        try:
            return await self.read(key)
        except StoreUnavailable as error:
            if self.fallback.required:
                raise
            report(error)
            raise InvalidRecord("the place that its FALLBACK names does not answer, and is not REQUIRED") from error

    async def exists(self, key: str) -> bool:
        """Tell whether there is a live session under an accepted key."""
        return isinstance(await self.read(key), Found)

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        """Remove the session; with ``found`` only if it is still that, as exactly as the source can tell.

        A source without a compare-and-delete reads again, and removes the session if that gives what was found. Where
        sessions are in cookies the result is always REMOVED.
        """
        raise NotImplementedError

    async def shorten(self, found: Found, seconds: int) -> bool:
        """Let the session end in so many seconds, unless it ends earlier or has changed; its data stay.

        Returns whether it is still there. A source that cannot shorten leaves the session as it is. Where sessions are
        in cookies the result is always True.
        """
        raise NotImplementedError

    # While CARRY is False: sessions that are created, changed and ended there, so that processes that know nothing of
    # this one go on with them.

    async def create(self, key: str, new: New) -> Found | None:
        """Write a new session under a key of Django's alphabet and length; None if the key is taken.

        Where sessions are in cookies the key is ignored; what is returned has the one that the session gets.
        """
        raise NotImplementedError

    async def write(self, found: Found, new: New) -> Found | None:
        """Write a session that was found, and return it as it is then; never creates one.

        None if the session is gone or, as far as the source can tell, has changed since.
        """
        raise NotImplementedError

    # Moving all sessions: see walk.py.

    def scan(self, batch_size: int = 1000) -> AsyncIterator[str]:
        """Yield the session keys (see ``hashes_keys``) of all live sessions, with constant memory, in any order.

        A place that lists its sessions in pages is asked for ``batch_size`` at a time.
        """
        raise NotImplementedError(self.why_not_scannable)

    async def read_many(self, keys: Sequence[str]) -> dict[str, Found | InvalidRecord]:
        """Return by key what read() returns or raises, for those keys that have a session."""
        found: dict[str, Found | InvalidRecord] = {}
        for key in keys:
            try:
                one = await self.read(key)
            except InvalidRecord as error:
                found[key] = error
            else:
                if isinstance(one, Found):
                    found[key] = one
        return found

    async def remove_many(self, found: Sequence[Found]) -> list[Removal]:
        """Remove several sessions as they were found; see remove()."""
        return [await self.remove(each.key, each) for each in found]

    async def count(self) -> int | None:
        """Return about how many sessions scan() will yield; None if that is not known."""
        return None

    def close(self) -> None:
        """Close idle connections, since the settings have changed."""
