"""The contract of a store: opaque bytes by storage key, with a compare-and-swap.

A key is 40 hexadecimal characters. A payload begins with the header of envelope.py, of which a store knows two
fields: the 8-byte version, which the session layer chooses anew for each write, and whether the payload is a session
or stands in place of one that has ended (envelope.is_session()). Every operation is one ``async def`` that
bridge.run_sync() can drive: it asks its server through Store.call(), awaits what a client returns through
bridge.maybe_await(), and uses the client that bridge.native_loop() asks for.

A record that is absent is None; a server that fails is StoreUnavailable; the two are never confused. Operations do not
retry. Only operations do I/O: constructors and imports never do.
"""

import enum
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils.asyncio import async_unsafe

from ..breaker import Breaker, BreakerOpen, breaker_for
from ..bridge import here
from ..deadline import current_operation, left
from ..exceptions import BudgetSpent, StoreRefused, StoreUnavailable
from .options import StoreOptions
from .record import Insertion, Record
from .wording import NO_ANSWER, NO_HOST, lost

__all__ = ["ABSENT_KEY", "LONGEST_TTL", "Failure", "Insertion", "Inspection", "Record", "Store", "StoreOptions"]

T = TypeVar("T")

ABSENT_KEY = "0" * 40
"""What a probe reads: no session key leads to it."""
LONGEST_TTL = 10**10
"""Seconds, about 317 years. Stores cut a longer ttl to it: the end of a session must be a date that Python and the
server know, and Python's end with the year 9999."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a server reports about itself. ``time`` is its own clock, in seconds since 1970, or None if it tells none.

    ``problems`` say what endangers sessions and how to mend it; ``notes`` describe the server, such as its nodes.
    """

    version: str
    time: float | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Failure(enum.Enum):
    """What an exception of a client library says about the server."""

    SILENCE = "no answer in time"
    LOSS = "the connection is over, or could not be made"
    REFUSAL = "an answer that refuses this call"
    MISTAKE = "an answer, or a name, that shows a wrong setting"


@async_unsafe(
    "Synchronous session I/O inside a running event loop. Use the asynchronous methods instead: "
    "await request.session.aget(…), aset(…), asave(). With PRELOAD, what a view reads is loaded before it runs."
)
def refuse_in_event_loop() -> None:
    """Raise SynchronousOnlyOperation where blocking would stop an event loop."""


class Store:
    """Keeps records on one kind of server.

    Subclasses implement the operations below and classify their client's exceptions (failure()).
    """

    scannable: ClassVar[bool] = False
    """Can it list its keys?"""
    expires: ClassVar[bool] = True
    """Does the server remove expired records by itself?"""
    local: ClassVar[bool] = False
    """Does it answer from this process' memory, without I/O?"""
    keeps_tombstones: ClassVar[bool] = True
    """Does what end() writes stay there for its whole ttl, and for all processes?"""
    transactional: bool = False
    """Are its writes part of the caller's transaction, which may be rolled back?"""
    max_payload: int | None = None
    """The largest payload in bytes, None where only memory bounds it."""

    def __init__(self, options: StoreOptions) -> None:
        self.options = options
        self.breaker = breaker_for(self.name)
        self._seconds = options.timeout, options.read_timeout

    @property
    def name(self) -> str:
        """The location as it may be logged and shown: without a password."""
        raise NotImplementedError

    # Asking the server.

    async def call(
        self, ask: Callable[..., Awaitable[T]], *arguments: Any, breaker: Breaker | None = None, node: Any = None
    ) -> T:
        """Return ``await ask(seconds, *arguments)``, where ``seconds`` bounds connecting and answer together.

        All failures of servers are handled here. Raises StoreUnavailable if the breaker is open, the request has no
        time left, or the server did not answer; StoreRefused if the server's answer refuses this call; and
        ImproperlyConfigured if it shows a wrong setting. What failure() does not know is raised as it is. A store of
        several servers passes the ``breaker`` of the one that it asks, and its ``node``, for probe().
        """
        if here.blocks_a_loop:
            refuse_in_event_loop()
        breaker = breaker or self.breaker
        budget, limit = self._seconds
        available = left(budget)
        if available <= 0:
            raise BudgetSpent(breaker.location, f"the request has waited for {budget} s (TIMEOUT)")
        if breaker.is_open and not await breaker.admits(lambda: self._probe(node)):
            raise BreakerOpen(breaker.location, "it did not answer a moment ago")
        answers = breaker.answers
        try:
            answer = await ask(min(limit, available), *arguments)
        except Exception as error:
            failure = self.failure(error)
            if failure is None:
                raise
            kind, reason = failure
            if kind is Failure.MISTAKE:
                # Not counted as an answer: there was none if the host's name does not exist.
                raise ImproperlyConfigured(f"MULTISESSION: {breaker.location}: {reason}") from error
            if kind is Failure.REFUSAL:
                breaker.answers += 1
                raise StoreRefused(breaker.location, reason) from error
            operation = current_operation()
            # Only if there is time for it. A loss that will be repeated is not suspected below, so otherwise a server
            # whose connections are lost only after all the time is used up would never be suspected.
            may_repeat = operation is not None and not operation.has_repeated and operation.left(budget) > 0
            retryable = may_repeat and kind is Failure.LOSS
            if not retryable and (available >= limit or kind is Failure.LOSS):
                # A limit that the request's own budget has cut short is no evidence against the server.
                is_alive = await breaker.suspect(answers, lambda: self._probe(node), reason)
                # A server that is alive may not have received the call: firewalls drop idle connections (D76).
                retryable = may_repeat and is_alive and kind is Failure.SILENCE and not self.transactional
            if operation is not None and retryable:
                operation.has_repeated = True
            raise StoreUnavailable(breaker.location, reason, retryable=retryable) from error
        breaker.answers += 1
        return answer

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """Return what an exception says about the server, with a few words that hold no key and no data.

        None if it says nothing about it. Subclasses classify their client's exceptions, and leave all others to this.
        """
        if isinstance(error, TimeoutError):
            return Failure.SILENCE, NO_ANSWER
        if isinstance(error, socket.gaierror) and not self.breaker.answers and error.errno == socket.EAI_NONAME:
            # A name that has never been found is misspelt; one that was found before is an outage.
            return Failure.MISTAKE, NO_HOST
        if isinstance(error, OSError):
            return Failure.LOSS, lost(error)
        return None

    async def _probe(self, node: Any) -> str | None:
        try:
            await self.probe(node)
        except Exception as error:
            failure = self.failure(error)
            if failure is None:
                raise
            kind, reason = failure
            return reason if kind in (Failure.SILENCE, Failure.LOSS) else None
        return None

    async def probe(self, node: Any) -> None:
        """Read ABSENT_KEY on a new connection, within PROBE_TIMEOUT; raise the client's exception if that fails."""
        raise NotImplementedError

    # The operations.

    async def read(self, key: str) -> Record | None:
        """Return the live record under key; None if there is none or it has expired.

        Where the server has a clock, it decides what has expired.
        """
        raise NotImplementedError

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        """Create the record, for ttl whole seconds (1 or more); return its token, or None if key is taken.

        Atomic. An expired record does not take a key. ``version`` is the one in the payload's header.
        """
        raise NotImplementedError

    async def insert_many(self, insertions: Sequence[Insertion]) -> list[bytes | None]:
        """Insert several records with different keys, each as insert() does; in one round trip where that pays."""
        return [await self.insert(*each) for each in insertions]

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        """Replace the live record, if its token is still ``expected``; return the new token.

        Atomic, and never creates a record: None if it is gone, has expired, or has another token.
        """
        raise NotImplementedError

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Delete the live record under key, with ``expected`` only at that token; return whether there was one."""
        raise NotImplementedError

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        """Write a payload that is no session (a tombstone) under key, whatever is there, for ttl whole seconds.

        The only unconditional write; it is safe because a session key is never used twice. The tombstone takes the key
        for insert(), and read() returns it; exists() and scan() leave it out.
        """
        raise NotImplementedError

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete these records, in one round trip where the server can; return how many there were."""
        raise NotImplementedError

    async def exists(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that have a live session (envelope.is_session()), in one round trip where the server can."""
        raise NotImplementedError

    async def purge(self, batch_size: int = 1000) -> AsyncIterator[int]:
        """Remove expired records in batches, and yield the size of each; nothing where the server expires them."""
        nothing: tuple[int, ...] = ()
        for count in nothing:
            yield count

    async def expired(self) -> int:
        """Count the records that purge() would remove."""
        return 0

    def scan(self) -> AsyncIterator[str]:
        """Yield the keys of all live sessions (envelope.is_session()), in any order, where the store is scannable."""
        raise NotImplementedError(f"{type(self).__name__} cannot list its keys.")

    async def inspect(self) -> Inspection:
        """Ask the server for its version, its clock, and settings that endanger sessions."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Create what the store needs on its server, such as an index or a table, unless it is there."""

    def close(self) -> None:
        """Close idle synchronous connections. Asynchronous ones close with their event loop."""
