"""Which node of a Redis Cluster has which keys, by a node's answer to CLUSTER SLOTS."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis
from redis.crc import key_slot


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int


class Topology:
    """The masters, their slots and their replicas, at one moment.

    ``asked`` is the node that has answered, which may leave out its own host; ``remap`` is OPTIONS["address_remap"].
    """

    def __init__(self, slots: Sequence[Any], asked: Node, remap: Callable[[tuple[str, int]], tuple[str, int]]) -> None:
        def node(entry: Sequence[Any]) -> Node:
            return Node(*remap(((entry[0] or b"").decode() or asked.host, int(entry[1]))))

        ranges = sorted((int(first), int(last), [node(entry) for entry in nodes]) for first, last, *nodes in slots)
        self._firsts = [first for first, _, _ in ranges]
        self._ranges = ranges
        self.replicas: dict[Node, list[Node]] = {}
        for _, _, (master, *replicas) in ranges:
            self.replicas[master] = replicas

    @property
    def masters(self) -> list[Node]:
        return list(self.replicas)

    @property
    def nodes(self) -> list[Node]:
        """All nodes, masters first."""
        return [*self.replicas, *(node for replicas in self.replicas.values() for node in replicas)]

    def covered(self) -> int:
        """Return how many slots have a master."""
        return sum(last - first + 1 for first, last, _ in self._ranges)

    def master_of(self, slot: int) -> Node:
        """Return the master of a slot; redis.exceptions.ClusterDownError if it has none."""
        place = bisect_right(self._firsts, slot) - 1
        if place >= 0:
            _, last, nodes = self._ranges[place]
            if slot <= last:
                return nodes[0]
        raise redis.exceptions.ClusterDownError("no master has this slot", status_code="CLUSTERDOWN")


def slot_of(address: str) -> int:
    """Return the slot of a key."""
    slot: int = key_slot(address.encode())
    return slot
