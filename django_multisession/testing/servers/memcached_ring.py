"""Memcached nodes that share the keys; only the client knows that they belong together."""

from __future__ import annotations

from collections.abc import Sequence

from django_multisession.testing.servers.group import ServerGroup
from django_multisession.testing.servers.memcached import MemcachedServer


class MemcachedRing(ServerGroup[list[str]]):
    """Three nodes; `options` go to each."""

    name = "memcached-ring"

    def __init__(self, *options: str) -> None:
        self.nodes = [MemcachedServer(*options) for _ in range(3)]

    @classmethod
    def available(cls) -> str | None:
        return MemcachedServer.available()

    @property
    def members(self) -> Sequence[MemcachedServer]:
        return self.nodes

    def form(self) -> None:
        """Nodes know nothing of one another."""

    def answers(self) -> bool:
        return all(node.answers() for node in self.nodes)

    @property
    def location(self) -> list[str]:
        return [node.location for node in self.nodes]
