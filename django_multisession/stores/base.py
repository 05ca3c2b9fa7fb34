"""The contract of a store: opaque bytes by storage key, with a compare-and-swap.

A key is 40 hexadecimal characters. A payload carries an 8-byte version, chosen anew by the session layer for
each write, at envelope.VERSION; a record's version begins with these 8 bytes (memcached adds its own token).
Every operation is one ``async def`` that bridge.run() can drive: await what a client returns through
bridge.ready(), and take the client that fits bridge.native_loop().

Absent is None, broken is StoreUnavailable, and one is never taken for the other. No operation retries, and
none but those of the operations does I/O: constructors and imports never do.
"""

from asyncio.events import _get_running_loop
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from django.utils.asyncio import async_unsafe

from ..bridge import driven
from ..deadline import Breaker, Guard, breaker_for


class Record(NamedTuple):
    """What a store holds under a key, and the token with which to replace exactly that."""

    payload: bytes
    version: bytes


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a store is made from; all of it comes from an entry of the MULTISESSION setting.

    ``timeout`` is the whole of a request's budget in seconds; connecting may take a quarter of it, an answer half.
    ``prefix`` is KEY_PREFIX, for servers whose keys are shared with others; the storage key contains it already.
    """

    location: str | tuple[str, ...] | None = None
    prefix: str = ""
    timeout: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def connect_timeout(self) -> float:
        return self.timeout / 4

    @property
    def read_timeout(self) -> float:
        return self.timeout / 2


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a server says of itself: ``time`` in seconds since 1970 by its own clock, None where it tells none;
    ``problems`` in sentences that say what is wrong and how to mend it."""

    version: str
    time: float | None = None
    problems: tuple[str, ...] = ()


@async_unsafe(
    "Synchronous session I/O inside a running event loop. Use the asynchronous methods instead: "
    "await request.session.aget(…), aset(…), asave()."
)
def _synchronous_io() -> None:
    """Raise SynchronousOnlyOperation where blocking would stop an event loop."""


class Store:
    """A backend. Subclasses implement the operations below and name their client's exceptions."""

    scannable: ClassVar[bool] = False
    """Can it list its keys?"""
    expires: ClassVar[bool] = True
    """Does the server remove expired records by itself?"""
    local: ClassVar[bool] = False
    """Does it answer from this process' memory, without I/O?"""
    outages: ClassVar[tuple[type[BaseException], ...]] = (OSError,)
    """The client's exceptions that mean StoreUnavailable; TimeoutError is an OSError."""
    timeouts: ClassVar[tuple[type[BaseException], ...]] = (TimeoutError,)
    """Those of them that open the breaker at once."""
    max_payload: int | None = None
    """The largest payload in bytes, None where only memory bounds it."""

    def __init__(self, options: StoreOptions) -> None:
        self.options = options
        self.breaker = breaker_for(self.name)

    @property
    def name(self) -> str:
        """The location as it may be logged and shown: without a password."""
        raise NotImplementedError

    @cached_property
    def call_timeout(self) -> float:
        """Seconds that one call to the server may take, while the request's budget lasts."""
        return self.options.read_timeout

    @cached_property
    def _guard(self) -> Guard:
        return self.guard_of(self.breaker)

    def guard(self) -> Guard:
        """Return the context of a call to the server: ``with self.guard() as seconds:``."""
        if driven() and _get_running_loop() is not None:  # async_unsafe's own look takes longer
            _synchronous_io()
        return self._guard

    def guard_of(self, breaker: Breaker) -> Guard:
        """Return a new guard of calls behind this breaker, within this store's limits."""
        return Guard(breaker, self.options.timeout, self.call_timeout, self.outages, self.timeouts)

    async def read(self, key: str) -> Record | None:
        """Return the live record under key; None if there is none or it has expired.

        Where the server has a clock, it decides what has expired.
        """
        raise NotImplementedError

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        """Create the record, for ttl whole seconds (1 or more); return its version, None if key is taken.

        Atomic. An expired record does not take a key. ``version`` stands in payload already.
        """
        raise NotImplementedError

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        """Replace the live record that is still at version expected; return the new version.

        Atomic, and never creates: None if the record is gone, expired or at another version.
        """
        raise NotImplementedError

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Delete the record, with expected only at that version; return whether there was one to delete."""
        raise NotImplementedError

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete these records, in one round trip where the server can; return how many there were."""
        raise NotImplementedError

    async def exists(self, keys: Iterable[str]) -> set[str]:
        """Return those of keys that have a live record, in one round trip where the server can."""
        raise NotImplementedError

    def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        """Remove expired records in batches; yield how many each removed. Nothing where the server does it."""
        return _nothing()

    async def expired(self) -> int:
        """Count the records that purge() would remove."""
        return 0

    def scan(self) -> AsyncIterator[str]:
        """Yield the keys of all live records, in any order, where the store is scannable."""
        raise NotImplementedError(f"{type(self).__name__} cannot list its keys.")

    async def inspect(self) -> Inspection:
        """Ask the server for its version, its clock, and settings that endanger sessions."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Make what the store needs on its server, such as an index; harmless if it is there."""

    def close(self) -> None:
        """Close idle synchronous connections. Asynchronous ones close with their event loop."""


async def _nothing() -> AsyncIterator[int]:
    return
    yield
