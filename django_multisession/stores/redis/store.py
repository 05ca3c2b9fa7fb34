"""Records in Redis or Valkey: the value is the envelope itself.

The token of a record is its payload, where that is small enough to be compared as a whole, and else its version.

The key on the server is ``{KEY_PREFIX}:dms:{storage key}``; without a prefix ``dms:{storage key}``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from django.core.exceptions import ImproperlyConfigured

from ...envelope import FLAGS, VERSION, is_session
from ..base import ABSENT_KEY, LONGEST_TTL, Failure, Insertion, Inspection, Record, Store, StoreOptions

try:
    from .commands import LARGE, Writes
    from .diagnosis import QUESTIONS, inspection
    from .failures import Command, answered, cause, failure
    from .location import literal
    from .places import server_at
except ImportError as error:
    raise ImproperlyConfigured('The redis engine needs redis-py: pip install "django_multisession[redis]".') from error

T = TypeVar("T")


_COMPARED: Final = 4096
"""Bytes of the largest record that is compared as a whole, and so sent along. A script compares 8 bytes instead, but
takes the server longer than a few thousand more bytes do."""
_PAGE: Final = 1000
_MOST_LARGE: Final = 1000
"""How many keys of large records a process remembers."""


def _token_of(payload: bytes) -> bytes:
    """Return the token of a record: its payload, or its version if that is too large to be compared."""
    return payload if len(payload) <= _COMPARED else payload[VERSION]


def _set(address: str, payload: bytes, ttl: int, *condition: str) -> Command:
    return ("SET", address, payload, *condition, "EX", min(ttl, LONGEST_TTL))


class RedisStore(Store):
    """A Redis or Valkey server; see location.py for what LOCATION may name, options.py for OPTIONS."""

    scannable = True

    def __init__(self, options: StoreOptions) -> None:
        self._server = server_at(options)
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

    def _call(self, address: str, ask: Callable[..., Awaitable[T]], *arguments: Any) -> Awaitable[T]:
        """Return ``ask(seconds, *arguments)``, called with the breaker of the node that has the key at an address."""
        if self._server.is_divided:
            return self._call_node(address, ask, *arguments)
        return self.call(ask, *arguments)

    async def _call_node(self, address: str, ask: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        if not self._server.is_located():
            await self.call(self._server.locate)
        node = self._server.node_of(address)
        return await self.call(ask, *arguments, breaker=self._server.breaker(node), node=node)

    async def read(self, key: str) -> Record | None:
        address = self.address(key)
        payload = await self._call(address, self._server.answer, ("GET", address), address in self._large)
        if payload is None:
            return None
        if self._large or len(payload) > LARGE:
            self._is_large(address, payload)
        return Record(payload, _token_of(payload))

    def _is_large(self, address: str, payload: bytes) -> bool:
        """Tell whether a record is large, and remember that for its next read."""
        if len(payload) <= LARGE:
            self._large.pop(address, None)
            return False
        self._large[address] = None
        while len(self._large) > _MOST_LARGE:
            self._large.pop(next(iter(self._large)), None)
        return True

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        answer = await self._set(key, payload, ttl, "NX")
        return None if answer is None else _token_of(payload)

    async def insert_many(self, insertions: Sequence[Insertion]) -> list[bytes | None]:
        commands = {(each := self.address(key)): _set(each, payload, ttl, "NX") for key, payload, ttl, _ in insertions}
        answers: dict[str, Any] = {}
        for page in await self._pages(commands):
            made = await self._call(page[0], self._writes.write_all, [commands[address] for address in page])
            answers.update(zip(page, made, strict=True))
        return [None if answers[self.address(each.key)] is None else _token_of(each.payload) for each in insertions]

    async def end(self, key: str, payload: bytes, ttl: int) -> None:
        await self._set(key, payload, ttl)

    def _set(self, key: str, payload: bytes, ttl: int, *condition: str) -> Awaitable[Any]:
        address = self.address(key)
        command = _set(address, payload, ttl, *condition)
        return self._call(address, self._writes.write, command, self._is_large(address, payload))

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        address = self.address(key)
        self._is_large(address, payload)
        swapped = await self._call(address, self._writes.replace, address, payload, min(ttl, LONGEST_TTL), expected)
        return _token_of(payload) if swapped else None

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        address = self.address(key)
        self._large.pop(address, None)
        if expected is None:
            return await self.delete_many([key]) == 1
        return bool(await self._call(address, self._writes.delete, address, expected))

    async def delete_many(self, keys: Iterable[str]) -> int:
        removed = 0
        for page in await self._pages(map(self.address, keys)):
            removed += await self._call(page[0], self._writes.delete_all, page)
        return removed

    async def exists(self, keys: Iterable[str]) -> set[str]:
        by_address = {self.address(key): key for key in keys}
        found: set[str] = set()
        for page in await self._pages(by_address):
            found |= await self._call(page[0], self._sessions, page)
        return {by_address[address] for address in found}

    async def _sessions(self, seconds: float, page: Sequence[str]) -> set[str]:
        # Their flags, and not EXISTS: tombstones and pointers do not count.
        commands: list[Command] = [("GETRANGE", each, FLAGS, FLAGS) for each in page]
        answers = map(answered, await self._server.ask(seconds, commands, len(page) > 1))
        return {each for each, flags in zip(page, answers, strict=True) if flags and is_session(b"?" * FLAGS + flags)}

    async def _pages(self, addresses: Iterable[str]) -> list[Sequence[str]]:
        if not self._server.is_located():
            await self.call(self._server.locate)
        return self._server.pages(list(addresses), _PAGE)

    async def _nodes(self) -> Sequence[Any]:
        if not self._server.is_located():
            await self.call(self._server.locate)
        return self._server.nodes()

    async def _ask_node(self, node: Any, commands: Sequence[Command]) -> list[Any]:
        breaker = self._server.breaker(node)
        return await self.call(self._server.ask_node, node, commands, breaker=breaker, node=node)

    async def scan(self) -> AsyncIterator[str]:
        """Yield the keys of all live sessions; one may come twice while a server resizes, or a slot is moved."""
        # 40 wildcards and not *: "dms:*" would also match "dms:dms:…", of the prefix "dms".
        pattern = literal(self._head) + "?" * 40
        skipped = len(self._head.encode())
        for node in await self._nodes():
            cursor = b"0"
            while True:
                command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
                [answer] = await self._ask_node(node, [command])
                cursor, page = answered(answer)
                for key in await self.exists(address[skipped:].decode() for address in page):
                    yield key
                if cursor == b"0":
                    break

    async def inspect(self) -> Inspection:
        return inspection(self._server, [(node, await self._ask_node(node, QUESTIONS)) for node in await self._nodes()])
