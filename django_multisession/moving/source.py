"""What the moving in asks of a source: the place where sessions were kept before, in the format of what wrote them.

A source knows one session name of one FALLBACK. Its operations are ``async def`` bodies for both colours (bridge.py):
driven by run_sync() or in a loop of async_to_sync they must not suspend; in any other loop, whatever is synchronous
goes to a thread.

Absent is None; broken is StoreUnavailable, which names the location without its password; there and not readable is
InvalidRecord. One is never taken for another: an outage that is taken for an absence logs visitors out. After a reply
was lost, a session that is gone counts as removed by the caller.
"""

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final

from ..conf import Fallback
from ..exceptions import InvalidRecord
from ..stores.base import Store

BY_ITSELF: Final = (
    "each session moves with its visitor's next request, and whoever does not come until UNTIL has to log in again"
)
"""What happens where sessions cannot be listed."""
NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Found:
    """A session as a source holds it.

    ``data`` has Django's own values, such as ``_session_expiry``. ``age`` is how many seconds it has left to live, 1 or
    more; where a source cannot tell, an upper bound. Times are seconds since 1970, 0 where they are not known.
    ``options`` are what our engines keep beside the data (see Body). ``token`` is opaque: what was read, so that
    remove() and write() find out that it has changed. ``key`` is the session key under which it is.
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
    """What is to be written to a source; fields as those of Found.

    What its format has no place for is dropped; ``age`` counts from now on.
    """

    data: dict[str, Any] = field(repr=False)
    age: int
    created_at: int = 0
    authenticated_at: int = 0
    options: Mapping[str, Any] = field(default_factory=lambda: NO_OPTIONS, repr=False)


@dataclass(frozen=True, slots=True)
class FoundMoved:
    """What an engine of ours has left where the key of a session has changed: the key under which it goes on."""

    key: str = field(repr=False)


class Removal(enum.Enum):
    """What has become of a session that was to be removed as it was found."""

    REMOVED = "it was there as found, and is not any more"
    GONE = "it was not there any more: somebody has ended it"
    CHANGED = "it is there, and not as it was found; it stays"


class Source:
    """A place where sessions were kept before. Constructors do no I/O; ImproperlyConfigured for a wrong FALLBACK."""

    in_cookies: ClassVar[bool] = False
    """Is the session key the session itself? Then nothing can be removed, and each write makes another key."""
    hashes_keys: ClassVar[bool] = False
    """Does it keep hashes of session keys only? Then scan() yields those."""
    keeps_keys = False
    """Do sessions that come from here keep their storage keys? Whoever asks the source says so."""
    why_not_scannable: ClassVar[str] = ""
    """Why scan() is not possible, as a sentence for people without its end; empty where it is."""

    def __init__(self, fallback: Fallback) -> None:
        self.fallback = fallback

    @property
    def store(self) -> Store | None:
        """The store of an engine of ours, None of any other."""
        return None

    @property
    def name(self) -> str:
        """The location as it may be logged and shown: without a password."""
        raise NotImplementedError

    @property
    def pickles(self) -> bool:
        """Whether reading loads pickles, which run what they say: that needs ALLOW_PICKLE."""
        return False

    def accepts(self, key: str) -> bool:
        """Tell, without I/O, whether a key that came with a request looks like one of this source's."""
        raise NotImplementedError

    async def read(self, key: str) -> Found | FoundMoved | None:
        """Return the live session under a key that is accepted, None if there is none."""
        raise NotImplementedError

    async def exists(self, key: str) -> bool:
        """Tell whether there is a live session under a key that is accepted."""
        return isinstance(await self.read(key), Found)

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        """Remove the session; with ``found`` only as it was then, as exactly as the source can.

        A source without a compare-and-delete reads once more, and removes if that is what was found. REMOVED, always,
        where sessions are in cookies.
        """
        raise NotImplementedError

    async def shorten(self, found: Found, seconds: int) -> bool:
        """Let the session end in so many seconds, unless it ends earlier or has changed; its data stays.

        Returns whether it is still there. Where a source cannot shorten, the session stays as it is; True, always,
        where sessions are in cookies.
        """
        raise NotImplementedError

    # While CARRY is False: sessions that are created, changed and ended there, so that processes that know nothing of
    # this one go on with them.

    async def create(self, key: str, new: New) -> Found | None:
        """Write a new session under a key of Django's alphabet and length; None if the key is taken.

        Where sessions are in cookies the key counts for nothing: the one that it comes to have is in what is returned.
        """
        raise NotImplementedError

    async def write(self, found: Found, new: New) -> Found | None:
        """Write a session that was found; never creates.

        Returns it as it stands now. None if it is gone or, where the source can tell, has changed since.
        """
        raise NotImplementedError

    # The walk.

    def scan(self, batch_size: int = 1000) -> AsyncIterator[str]:
        """Yield the session keys (see ``hashes_keys``) of all live sessions, with constant memory, in any order.

        A place that lists them in portions is asked for so many at a time.
        """
        raise NotImplementedError(self.why_not_scannable)

    async def read_many(self, keys: Sequence[str]) -> dict[str, Found | InvalidRecord]:
        """Return what read() returns or raises of each key, as far as there is a live session."""
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
        """See remove(), with each of what was found."""
        return [await self.remove(each.key, each) for each in found]

    async def count(self) -> int | None:
        """Return about how many sessions scan() will yield, None where that is not known."""
        return None

    def close(self) -> None:
        """Close what is idle, as the settings have changed."""
