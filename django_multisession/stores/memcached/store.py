"""Records in memcached, which may evict them: for sessions that may be lost, and for tiers.

The key on the server is ``{KEY_PREFIX}:dms:{storage key}``; without a prefix ``dms:{storage key}``.
A record's version is the envelope's, followed by memcached's cas token where it is known: the
answer to a write holds none.

It speaks the classic text protocol: the meta commands need memcached 1.6, and proxies don't know them.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ImproperlyConfigured

from ...bridge import maybe_await, native_loop
from ...envelope import VERSION
from ...exceptions import SessionTooLarge, StoreUnavailable
from ..base import Inspection, Record, Store, StoreOptions
from .rendezvous import choose

try:
    from pymemcache import MemcacheError  # type: ignore[import-untyped]  # it ships no types

    from .connection import Connection
    from .nodes import Node, nodes_of, problems
except ImportError as error:
    raise ImproperlyConfigured(
        'The memcached engine needs pymemcache: pip install "django_multisession[memcached]".'
    ) from error

T = TypeVar("T")

_VERSION_LENGTH = VERSION.stop - VERSION.start
_HEAD_LENGTH = 250 - 40  # of the longest key, the storage key excepted
_KEYS_AT_ONCE = 100

ITEM_SIZE = 1024 * 1024
"""The largest item in bytes of a memcached that was started without -I."""
_ITEM_OVERHEAD = 512  # of header, longest key and slab; measured: 309 bytes (1.6.18)

_RELATIVE_LIMIT = 30 * 24 * 60 * 60
_LATEST = 2**31 - 1  # memcached reads a signed 32-bit number: 2**31 expires at once, 2**32 never
_EXPIRED = -1


def expiry(ttl: int, now: float) -> int:
    """Return what to send for a record to live ttl seconds; the 19th of January 2038 is the end.

    Above 30 days memcached takes the number for a date by its own clock. An hour between two hosts'
    clocks is an hour in more than 30 days; what must never be sent is a date that has passed.
    """
    if ttl <= _RELATIVE_LIMIT:
        return ttl
    if now + _RELATIVE_LIMIT >= _LATEST:  # from December 2037 on a date would soon have passed
        return _RELATIVE_LIMIT
    return min(int(now) + ttl, _LATEST)


class MemcachedStore(Store):
    """One or more memcached nodes, each with its own connections and circuit breaker.

    ``OPTIONS["max_item_size"]`` is the servers' ``-I`` in bytes, where it is not 1 MiB; all others
    go to pymemcache.
    """

    outages: ClassVar[tuple[type[BaseException], ...]] = (MemcacheError, OSError)
    max_payload: int

    def __init__(self, options: StoreOptions) -> None:
        settings = dict(options.options)
        size = settings.pop("max_item_size", ITEM_SIZE)
        if not isinstance(size, int) or size < 2 * _ITEM_OVERHEAD:
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS['max_item_size'] is {size!r}; it must be the bytes that memcached's -I allows."
            )
        self.max_payload = size - _ITEM_OVERHEAD
        self._nodes = nodes_of(options.location, settings)
        super().__init__(options)
        self._guards = {node.name: self.guard_of(node.breaker) for node in self._nodes}
        self._named_nodes = [(node.name.encode(), node) for node in self._nodes]
        self._head = f"{options.prefix}:dms:".encode() if options.prefix else b"dms:"
        if len(self._head) > _HEAD_LENGTH or any(byte <= 32 or byte == 127 for byte in self._head):
            raise ImproperlyConfigured(
                f"MULTISESSION: KEY_PREFIX {options.prefix!r} does not fit into memcached's keys: "
                f"at most {_HEAD_LENGTH - 5} bytes without spaces and control characters."
            )

    @property
    def name(self) -> str:
        return ", ".join(node.name for node in self._nodes)

    def address(self, key: str) -> bytes:
        """Return the key on the server."""
        return self._head + key.encode()

    # Commands.

    def node(self, key: str) -> Node:
        """Return the node that holds a key, be it alive or not."""
        return self._nodes[0] if len(self._nodes) == 1 else choose(self._named_nodes, key.encode())

    async def _ask(self, node: Node, command: Callable[..., T], *arguments: Any) -> T:
        """Return command(connection to the node, *arguments), in an event loop from one of the loop's threads."""
        self.guard()  # refuses to block an event loop
        with self._guards[node.name] as seconds:
            loop = native_loop()
            if loop is None:
                found: T = node.connections.call(self._exchange, seconds, command, arguments)
                return found
            ends, started = time.monotonic() + seconds, False

            def exchange() -> T:
                nonlocal started
                started = True
                found: T = node.connections.call(self._exchange, ends - time.monotonic(), command, arguments)
                return found

            # The loop's own threads: bounded in number, and gone with the loop. A task that is
            # cancelled leaves its thread to read the answer, so that nobody else gets it.
            answer: asyncio.Future[T] = loop.run_in_executor(None, exchange)
            try:
                return await maybe_await(answer, seconds)
            except TimeoutError as error:
                if started:
                    raise
                raise StoreUnavailable(node.name, "all of the event loop's threads are in use") from error

    def _exchange(
        self, connection: Connection, seconds: float, command: Callable[..., T], arguments: tuple[Any, ...]
    ) -> T:
        if connection.timeout != seconds or connection.sock is None:
            self._bound(connection, seconds)
        return command(connection, *arguments)

    def _bound(self, connection: Connection, seconds: float) -> None:
        """Let the next command take so many seconds at most."""
        if seconds <= 0:
            raise TimeoutError
        if connection.sock is None:
            # Connecting and the first answer together must fit.
            connection.connect_timeout = min(seconds / 2, self.options.connect_timeout)
            connection.timeout = seconds - connection.connect_timeout
        else:
            connection.timeout = seconds
            connection.sock.settimeout(seconds)

    async def _store(self, key: str, command: Callable[..., bool], payload: bytes, ttl: int, *token: bytes) -> bool:
        """Write a payload; SessionTooLarge, and the old one stays, if it does not fit."""
        node = self.node(key)
        if len(payload) > self.max_payload:
            raise self._too_large(node, payload)
        expire = ttl if ttl <= _RELATIVE_LIMIT else expiry(ttl, time.time())
        try:
            return await self._ask(node, command, self.address(key), payload, expire, *token)
        except SessionTooLarge as error:
            # add and cas, unlike set, don't remove the old item before they find out.
            raise self._too_large(node, payload) from error

    def _too_large(self, node: Node, payload: bytes) -> SessionTooLarge:
        return SessionTooLarge(
            f"{len(payload)} bytes do not fit into memcached at {node.name}, which takes "
            f"{self.max_payload} if OPTIONS['max_item_size'] is its -I in bytes (1 MiB unset)."
        )

    async def _token(self, key: str, expected: bytes) -> bytes | None:
        """Return the cas token of the record at version expected, None if there is none."""
        if len(expected) > _VERSION_LENGTH:
            return expected[_VERSION_LENGTH:]
        record = await self.read(key)
        if record is None or not record.version.startswith(expected):
            return None
        return record.version[_VERSION_LENGTH:]

    # The contract.

    async def read(self, key: str) -> Record | None:
        found = await self._ask(self.node(key), Connection.fetch, self.address(key))
        return None if found is None else Record(found[0], found[0][VERSION] + found[1])

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        return version if await self._store(key, Connection.insert, payload, ttl) else None

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        token = await self._token(key, expected)
        if token is None:
            return None
        return version if await self._store(key, Connection.swap, payload, ttl, token) else None

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        address, node = self.address(key), self.node(key)
        if expected is None:
            return await self._ask(node, Connection.remove, address)
        token = await self._token(key, expected)
        if token is None:
            return False
        # A swap for something that has expired is the classic protocol's delete at a cas token.
        return await self._ask(node, Connection.swap, address, b"", _EXPIRED, token)

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete these records, one by one, on every node that lives; then raise for the others."""
        deleted, outage = 0, None
        for key in keys:
            try:
                deleted += await self.delete(key)
            except StoreUnavailable as error:
                outage = error
        if outage is not None:
            raise outage
        return deleted

    async def exists(self, keys: Iterable[str]) -> set[str]:
        by_node: dict[str, dict[bytes, str]] = {}
        for key in keys:
            by_node.setdefault(self.node(key).name, {})[self.address(key)] = key
        live: set[str] = set()
        for node in self._nodes:
            addresses = by_node.get(node.name, {})
            for batch in _batched(addresses, _KEYS_AT_ONCE):
                found = await self._ask(node, Connection.get_many, batch)
                live.update(addresses[address] for address in found)
        return live

    async def inspect(self) -> Inspection:
        """Ask every node; StoreUnavailable if none answers. ``time`` is the clock farthest off."""
        versions: set[str] = set()
        times: list[float] = []
        found: list[str] = []
        for node in self._nodes:
            try:
                stats = await self._ask(node, Connection.stats)
                settings = await self._ask(node, Connection.stats, "settings")
            except StoreUnavailable as error:
                found.append(f"{error}. Its sessions wait for it; no other node takes them over.")
                outage = error
                continue
            versions.add(stats[b"version"].decode())
            times.append(stats[b"time"])
            size = self.max_payload + _ITEM_OVERHEAD
            found += [f"{node.name}: {problem}" for problem in problems(stats, settings, size)]
        if not versions:
            raise outage
        now = time.time()
        return Inspection(
            version=", ".join(sorted(versions)),
            time=max(times, key=lambda each: abs(each - now)),
            problems=tuple(found),
        )

    def close(self) -> None:
        for node in self._nodes:
            node.connections.close()


def _batched(addresses: Iterable[bytes], size: int) -> Iterator[tuple[bytes, ...]]:
    """Yield addresses in tuples of at most ``size`` (itertools.batched() is new in Python 3.12)."""
    iterator = iter(addresses)
    while batch := tuple(islice(iterator, size)):
        yield batch
