"""An engine whose server can be taken down; it counts the calls that reach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django_multisession.sessions.server import ServerSession
from django_multisession.stores.base import Record
from django_multisession.stores.memory import MemoryStore


class Switchable(MemoryStore):
    """Guarded as a store across the network is, so that breaker, budget and event loop count."""

    local = False
    down: ClassVar[bool] = False
    calls: ClassVar[list[str]] = []
    before: ClassVar[dict[str, Callable[[], object]]] = {}
    """What happens before the next call of an operation, by the operation's name."""

    @property
    def name(self) -> str:
        return f"switchable://127.0.0.1/{self.options.location or 0}"

    def _reach(self, operation: str) -> None:
        with self.guard():
            self.calls.append(operation)
            self.before.pop(operation, bool)()
            if self.down:
                raise ConnectionRefusedError

    async def read(self, key: str) -> Record | None:
        self._reach("read")
        return await super().read(key)

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        self._reach("insert")
        return await super().insert(key, payload, ttl, version)

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        self._reach("replace")
        return await super().replace(key, payload, ttl, expected, version)

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        self._reach("delete")
        return await super().delete(key, expected)

    @classmethod
    def go_down(cls, *_: Any) -> None:
        cls.down = True


class SessionStore(ServerSession):
    """See Switchable."""

    store_class = Switchable
