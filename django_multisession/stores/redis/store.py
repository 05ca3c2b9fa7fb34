"""Records in Redis or Valkey: the value is the envelope itself.

The token of a record is the record, where it is small enough to be compared as a whole, and its version beyond.

The key on the server is ``{KEY_PREFIX}:dms:{storage key}``; without a prefix ``dms:{storage key}``.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from ...envelope import FLAGS, is_session
from ..base import ABSENT_KEY, Failure, Inspection, Record, Store, StoreOptions
from .diagnosis import inspection
from .location import literal

try:
    from .batches import Command
    from .commands import Writes, answered, token_of
    from .failures import cause, failure
    from .server import Server
except ImportError as error:
    raise ImproperlyConfigured('The redis engine needs redis-py: pip install "django_multisession[redis]".') from error

LONGEST_TTL: Final = 10**10
"""Seconds, about 317 years. Redis refuses a time that overflows 64 bits of milliseconds."""

_PAGE: Final = 1000
_LARGE: Final = 16 * 1024
"""Bytes above which a record goes over a connection of its own, so that no small one waits behind it."""
_MOST_LARGE: Final = 1000
"""How many keys of large records a process remembers."""


class RedisStore(Store):
    """A Redis or Valkey server; see location.py for what LOCATION may name, options.py for OPTIONS."""

    scannable = True

    def __init__(self, options: StoreOptions) -> None:
        self._server = Server.at(options)
        super().__init__(options)
        self._head = f"{options.prefix}:dms:" if options.prefix else "dms:"
        self._writes = Writes(self._server)
        self._large: dict[str, None] = {}

    @property
    def name(self) -> str:
        return self._server.name

    def address(self, key: str) -> str:
        """Return the key on the server."""
        return self._head + key

    def failure(self, error: Exception) -> tuple[Failure, str] | None:
        """Return what an exception of redis-py says; see failures.py."""
        found = failure(error)
        if found is not None and found[0] is Failure.LOSS and (wrapped := cause(error)) is not None:
            return super().failure(wrapped)
        return found or super().failure(error)

    async def probe(self, node: Any) -> None:
        await self._server.probe(node, ("GET", self.address(ABSENT_KEY)))

    def close(self) -> None:
        self._server.close()

    async def read(self, key: str) -> Record | None:
        payload = await self.call(self._read, key)
        return None if payload is None else Record(payload, token_of(payload))

    async def _read(self, seconds: float, key: str) -> Any:
        [answer] = await self._server.ask(seconds, [("GET", self.address(key))], key in self._large)
        payload = answered(answer)
        if payload is not None and (self._large or len(payload) > _LARGE):
            self._is_large(key, payload)
        return payload

    def _is_large(self, key: str, payload: bytes) -> bool:
        """Tell whether a record is large, and remember its key for when it is read."""
        if len(payload) <= _LARGE:
            self._large.pop(key, None)
            return False
        self._large[key] = None
        while len(self._large) > _MOST_LARGE:
            self._large.pop(next(iter(self._large)), None)
        return True

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        answer = await self.call(self._set, key, payload, ttl, "NX")
        return None if answer is None else token_of(payload)

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        await self.call(self._set, key, payload, ttl)

    async def _set(self, seconds: float, key: str, payload: bytes, ttl: int, *condition: str) -> Any:
        command: Command = ("SET", self.address(key), payload, *condition, "EX", min(ttl, LONGEST_TTL))
        return await self._writes.write(seconds, command, self._is_large(key, payload), durable=True)

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        swapped = await self.call(self._replace, key, payload, ttl, expected)
        return token_of(payload) if swapped else None

    async def _replace(self, seconds: float, key: str, payload: bytes, ttl: int, expected: bytes) -> Any:
        alone, ttl = self._is_large(key, payload), min(ttl, LONGEST_TTL)
        return await self._writes.replace(seconds, self.address(key), payload, ttl, expected, alone=alone)

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        self._large.pop(key, None)
        if expected is None:
            return await self.delete_many([key]) == 1
        return bool(await self.call(self._writes.delete, self.address(key), expected))

    async def delete_many(self, keys: Iterable[str]) -> int:
        removed = 0
        for page in self._server.pages([self.address(key) for key in keys], _PAGE):
            removed += await self.call(self._delete_page, page)
        return removed

    async def _delete_page(self, seconds: float, addresses: Sequence[str]) -> Any:
        return await self._writes.write(seconds, ("DEL", *addresses), len(addresses) > 1, durable=True)

    async def exists(self, keys: Iterable[str]) -> set[str]:
        by_address = {self.address(key): key for key in keys}
        found: set[str] = set()
        for page in self._server.pages(list(by_address), _PAGE):
            found |= await self.call(self._sessions, page)
        return {by_address[address] for address in found}

    async def _sessions(self, seconds: float, addresses: Sequence[str]) -> set[str]:
        # The flags and not EXISTS: what is no session is absent.
        commands: list[Command] = [("GETRANGE", address, FLAGS, FLAGS) for address in addresses]
        answers = map(answered, await self._server.ask(seconds, commands, len(commands) > 1))
        return {
            address
            for address, flags in zip(addresses, answers, strict=True)
            if flags and is_session(b"?" * FLAGS + flags)
        }

    async def scan(self) -> AsyncIterator[str]:
        """Yield the keys of all live records; one may come twice if the server is resizing."""
        # 40 wildcards and not *: "dms:*" would take "dms:dms:…" too, which is of the prefix "dms".
        pattern = literal(self._head) + "?" * 40
        skipped = len(self._head.encode())
        cursor = b"0"
        while True:
            cursor, page = await self.call(self._ask, ("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE))
            for key in await self.exists(address[skipped:].decode() for address in page):
                yield key
            if cursor == b"0":
                return

    async def _ask(self, seconds: float, command: Command) -> Any:
        [answer] = await self._server.ask(seconds, [command], alone=True)
        return answered(answer)

    async def inspect(self) -> Inspection:
        return await self.call(self._inspect)

    async def _inspect(self, seconds: float) -> Inspection:
        commands: list[Command] = [("INFO",), ("TIME",), ("CONFIG", "GET", "save")]
        info, clock, snapshots = await self._server.ask(seconds, commands, alone=True)
        # Managed services refuse CONFIG.
        return inspection(answered(info), answered(clock), None if isinstance(snapshots, Exception) else snapshots)
