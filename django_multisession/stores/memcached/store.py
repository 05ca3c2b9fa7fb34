"""Records in memcached, which may evict them: for sessions that may be lost.

The key on the server is ``{KEY_PREFIX}:dms:{storage key}``; without a prefix ``dms:{storage key}``.

The token of a record that was read is memcached's cas. The answer to a write tells no cas, so the token of what was
just written is its version, and whoever replaces or deletes that reads it first.

The store speaks the classic text protocol: the meta commands need memcached 1.6, and proxies do not know them.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from operator import methodcaller
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from ...breaker import PROBE_TIMEOUT
from ...bridge import native_loop, run_sync
from ...deadline import left
from ...envelope import VERSION, is_session
from ...exceptions import SessionTooLarge, StoreRefused, StoreUnavailable
from ..base import ABSENT_KEY, Failure, Inspection, Record, Store, StoreOptions
from .diagnosis import Answer, inspection
from .location import head_of, names_of, settings_of
from .rendezvous import choose

try:
    from pymemcache import Client, MemcacheServerError  # type: ignore[import-untyped]  # it ships no types

    from .client import Node, failure
except ImportError as error:
    raise ImproperlyConfigured(
        'The memcached engine needs pymemcache: pip install "django_multisession[memcached]".'
    ) from error

T = TypeVar("T")

_KEYS_AT_ONCE = 100
_ITEM_OVERHEAD = 512  # bytes of header, longest key and slab; measured: 309 (1.6.18)
_TOO_LARGE = b"object too large"

_RELATIVE_LIMIT = 30 * 24 * 60 * 60
_LATEST = 2**31 - 1  # memcached reads a signed 32-bit number: 2**31 expires at once, 2**32 never
_EXPIRED = -1

_CAS, _WRITTEN = b"c", b"v"
"""The first byte of a token: it is followed by memcached's cas, or by the version that was written."""


def expiry(ttl: int, now: float) -> int:
    """Return the expiry to send for a record that is to live ttl seconds, at the latest January 19, 2038.

    Above 30 days memcached takes the number for a date, by its own clock. Clocks that differ by an hour change a life
    of over 30 days by an hour, which does not matter; a date that has passed must never be sent.
    """
    if ttl <= _RELATIVE_LIMIT:
        return ttl
    if now + _RELATIVE_LIMIT >= _LATEST:  # from December 2037 on, the latest date is not far enough ahead
        return _RELATIVE_LIMIT
    return min(int(now) + ttl, _LATEST)


class MemcachedStore(Store):
    """One or more memcached nodes, each with its own connections and circuit breaker.

    OPTIONS: ``max_item_size`` is the servers' ``-I`` in bytes, where it is not 1 MiB; ``max_idle`` the seconds after
    which an idle connection is not used again; ``client`` the dotted path of a factory that is called like
    ``pymemcache.Client`` and returns one, or what has its commands. All others go to pymemcache.
    """

    keeps_tombstones = False  # it evicts anything when it is full
    max_payload: int

    def __init__(self, options: StoreOptions) -> None:
        settings = settings_of(options.options)
        self._head = head_of(options.prefix)
        self.max_payload = settings.item_size - _ITEM_OVERHEAD
        self._nodes = tuple(
            Node(name, settings, options.connect_timeout, options.read_timeout) for name in names_of(options.location)
        )
        self._named_nodes = [(node.name.encode(), node) for node in self._nodes]
        self._nodes[0].connection()  # which does not connect: pymemcache checks its arguments
        super().__init__(options)

    @property
    def name(self) -> str:
        return ", ".join(node.name for node in self._nodes)

    def address(self, key: str) -> bytes:
        """Return the key on the server."""
        return self._head + key.encode()

    def node(self, key: str) -> Node:
        """Return the node that has a key, whether it is alive or not."""
        return self._nodes[0] if len(self._nodes) == 1 else choose(self._named_nodes, key.encode())

    # Asking a node.

    async def _ask(self, node: Node, command: Callable[[Client], T]) -> T:
        """Return ``command(client)``; in an event loop it is called on one of our threads."""
        loop = native_loop()
        if loop is None:
            return await self.call(node.ask, command, breaker=node.breaker, node=node)
        async with node.threads.get(loop).slot(left(self.options.timeout)) as slot:

            async def ask(seconds: float) -> T:
                return await slot.run(lambda: run_sync(node.ask(seconds, command)))

            return await self.call(ask, breaker=node.breaker, node=node)

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        return failure(error) or super().failure(error)

    async def probe(self, node: Node | None) -> None:
        """See Store.probe(). None is the first node; in an event loop it is read from one of our threads."""
        asked = node or self._nodes[0]
        address = self.address(ABSENT_KEY)

        def read() -> None:
            asked.ask_anew(PROBE_TIMEOUT, lambda client: client.gets(address))

        loop = native_loop()
        if loop is None:
            read()
        else:
            await asked.threads.get(loop).run(read)

    async def _store(self, key: str, payload: bytes, ttl: int, command: Callable[[Client, bytes, int], Any]) -> bool:
        """Return whether ``command(client, address, expire)`` has written; SessionTooLarge if it does not fit."""
        node = self.node(key)
        if len(payload) > self.max_payload:
            raise self._too_large(node, payload)
        address, expire = self.address(key), expiry(ttl, time.time())
        try:
            return bool(await self._ask(node, lambda client: command(client, address, expire)))
        except StoreRefused as error:
            cause = error.__cause__
            if isinstance(cause, MemcacheServerError) and _TOO_LARGE in cause.args[0]:
                # What was stored is unchanged: add and cas, unlike set, do not remove the old item first.
                raise self._too_large(node, payload) from cause
            raise

    def _too_large(self, node: Node, payload: bytes) -> SessionTooLarge:
        return SessionTooLarge(
            f"{len(payload)} bytes do not fit into memcached at {node.name}, which takes "
            f"{self.max_payload} if OPTIONS['max_item_size'] is its -I in bytes (1 MiB unset)."
        )

    def _gets(self, key: str) -> Awaitable[tuple[bytes | None, bytes]]:
        """Return the payload under key, None if there is none, and its cas."""
        return self._ask(self.node(key), methodcaller("gets", self.address(key)))

    async def _cas(self, key: str, token: bytes) -> bytes | None:
        """Return the cas of the record at token, None if there is none."""
        if token.startswith(_CAS):
            return token[len(_CAS) :]
        payload, cas = await self._gets(key)
        return cas if payload is not None and payload[VERSION] == token[len(_WRITTEN) :] else None

    # The contract.

    async def read(self, key: str) -> Record | None:
        payload, cas = await self._gets(key)
        return None if payload is None else Record(payload, _CAS + cas)

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        inserted = await self._store(
            key, payload, ttl, lambda client, address, expire: client.add(address, payload, expire)
        )
        return _WRITTEN + version if inserted else None

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        cas = await self._cas(key, expected)
        if cas is None:
            return None
        replaced = await self._store(
            key, payload, ttl, lambda client, address, expire: client.cas(address, payload, cas, expire)
        )
        return _WRITTEN + version if replaced else None

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        await self._store(key, payload, ttl, lambda client, address, expire: client.set(address, payload, expire))

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        address, node = self.address(key), self.node(key)
        if expected is None:
            deleted: bool = await self._ask(node, lambda client: client.delete(address))
            return deleted
        cas = await self._cas(key, expected)
        if cas is None:
            return False
        # The classic protocol cannot delete at a cas, but replace the item by one that has expired (decisions.md, D10).
        return bool(await self._ask(node, lambda client: client.cas(address, b"", cas, _EXPIRED)))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete these records, one by one, on every node that answers; then raise the last outage, if any."""
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
        by_node: dict[Node, dict[bytes, str]] = {}
        for key in keys:
            by_node.setdefault(self.node(key), {})[self.address(key)] = key
        live: set[str] = set()
        for node, addresses in by_node.items():
            for batch in _batched(addresses, _KEYS_AT_ONCE):
                found: dict[bytes, bytes] = await self._ask(node, partial(_get_many, keys=batch))
                live.update(addresses[address] for address, payload in found.items() if is_session(payload))
        return live

    async def inspect(self) -> Inspection:
        """See Store.inspect(). Asks every node; StoreUnavailable if none answers."""
        answers: dict[str, Answer] = {}
        outages: dict[str, StoreUnavailable] = {}
        for node in self._nodes:
            try:
                stats = await self._ask(node, lambda client: client.stats())
                answers[node.name] = stats, await self._ask(node, lambda client: client.stats("settings"))
            except StoreUnavailable as error:
                outages[node.name] = error
        if not answers:
            raise outages[self._nodes[0].name]
        return inspection(answers, outages, self.max_payload + _ITEM_OVERHEAD)

    def close(self) -> None:
        for node in self._nodes:
            node.close()


def _get_many(client: Client, keys: tuple[bytes, ...]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = client.get_many(keys)
    return found


def _batched(addresses: Iterable[bytes], size: int) -> Iterator[tuple[bytes, ...]]:
    """Yield addresses in tuples of at most ``size`` (itertools.batched() is new in Python 3.12)."""
    iterator = iter(addresses)
    while batch := tuple(islice(iterator, size)):
        yield batch
