"""An engine whose server can be taken down; it counts the calls that reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django_multisession import breaker
from django_multisession.sessions.server import ServerSession
from django_multisession.stores.base import Record
from django_multisession.stores.memory import MemoryStore


class Switchable(MemoryStore):
    """Called as a store across the network is, so that breaker, budget and event loop count."""

    local = False
    down: ClassVar[bool] = False
    calls: ClassVar[list[str]] = []
    before: ClassVar[dict[str, Callable[[], object]]] = {}
    """What happens before the next call of an operation, by the operation's name."""

    @property
    def name(self) -> str:
        return f"switchable://127.0.0.1/{self.options.location or 0}"

    async def _reach(self, seconds: float, operation: str, *arguments: Any) -> Any:
        self.calls.append(operation)
        self.before.pop(operation, bool)()
        if self.down:
            raise ConnectionRefusedError
        return await getattr(MemoryStore, operation)(self, *arguments)

    async def read(self, key: str) -> Record | None:
        return await self.call(self._reach, "read", key)

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        return await self.call(self._reach, "insert", key, payload, ttl, version)

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        return await self.call(self._reach, "replace", key, payload, ttl, expected, version)

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        return await self.call(self._reach, "delete", key, expected)

    async def exists(self, keys: Iterable[str]) -> set[str]:
        return await self.call(self._reach, "exists", keys)

    async def probe(self, node: Any) -> None:
        if self.down:
            raise ConnectionRefusedError

    @classmethod
    def come_back(cls) -> None:
        """Answer again, and be asked again at once."""
        cls.down = False
        for known in breaker._breakers.value.values():
            known.is_open = False

    @classmethod
    def go_down(cls, *_: Any) -> None:
        cls.down = True


class SessionStore(ServerSession):
    """See Switchable."""

    store_class = Switchable
