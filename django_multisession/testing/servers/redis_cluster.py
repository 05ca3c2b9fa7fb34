"""A Redis Cluster: masters that share the slots, and a replica of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django_multisession.testing.servers.base import free_port
from django_multisession.testing.servers.group import ServerGroup
from django_multisession.testing.servers.redis import (
    NewestRedisServer,
    RedisServer,
    ValkeyServer,
    follows_its_master,
    is_master,
)

SLOTS = 16384


class RedisNode(RedisServer):
    """A Redis that is a node of a cluster; `timeout` is how long another may be silent, in seconds."""

    name = "redis-node"

    def __init__(self, timeout: float, *options: str) -> None:
        self.bus_port = 0  # until started
        super().__init__(
            *("--cluster-enabled", "yes"),
            *("--cluster-node-timeout", str(round(timeout * 1000))),
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            *options,
        )

    def choose_ports(self) -> None:
        super().choose_ports()
        # Its default, the port and 10,000, is above 65,535 for many a free port.
        self.bus_port = free_port()

    def command(self) -> Sequence[str]:
        return [*super().command(), "--cluster-port", str(self.bus_port)]

    def cluster(self, command: str) -> str:
        """Return the reply to CLUSTER and a command, without its type and length."""
        reply = self.ask(f"CLUSTER {command}\r\n".encode()).decode()
        return reply.partition("\r\n")[2].strip() if reply.startswith("$") else reply[1:].strip()


class NewestRedisNode(RedisNode, NewestRedisServer):
    """The newest Redis that is a node of a cluster."""

    name = "redis-newest-node"


class ValkeyNode(RedisNode, ValkeyServer):
    """A Valkey that is a node of a cluster."""

    name = "valkey-node"


def _follows(replica: RedisNode, master: str) -> bool:
    return replica.cluster(f"REPLICATE {master}") == "OK"


class RedisCluster(ServerGroup[str]):
    """Six nodes: `nodes[:3]` start as masters, `nodes[3:]` as their replicas, in the same order.

    `options` go to each server. `node_timeout`, in seconds, is how long a node may be silent; a replica takes over
    within about twice that and a second.
    """

    name = "redis-cluster"
    node_class: type[RedisNode] = RedisNode
    masters = 3

    def __init__(self, *options: str, node_timeout: float = 1.0) -> None:
        self.nodes = [self.node_class(node_timeout, *options) for _ in range(2 * self.masters)]

    @classmethod
    def available(cls) -> str | None:
        return cls.node_class.available()

    @property
    def members(self) -> Sequence[RedisNode]:
        return self.nodes

    def form(self) -> None:
        masters, replicas = self.nodes[: self.masters], self.nodes[self.masters :]
        for number, master in enumerate(masters):
            first, end = (SLOTS * edge // self.masters for edge in (number, number + 1))
            master.cluster(f"ADDSLOTSRANGE {first} {end - 1}")
            master.cluster(f"SET-CONFIG-EPOCH {number + 1}")
        for node in self.nodes[1:]:
            self.nodes[0].cluster(f"MEET {node.host} {node.port} {node.bus_port}")
        for master, replica in zip(masters, replicas, strict=True):
            identity = master.cluster("MYID")
            self.wait_for(partial(_follows, replica, identity), "know its masters")

    def answers(self) -> bool:
        return all(self._agrees(node) for node in self.nodes)

    def _agrees(self, node: RedisNode) -> bool:
        if "cluster_state:ok" not in node.cluster("INFO"):
            return False
        lines = [line.split() for line in node.cluster("NODES").splitlines()]
        flags = [line[2].split(",") for line in lines]
        known = [flag for flag in flags if not {"handshake", "fail", "fail?"} & set(flag)]
        masters = sum("master" in flag for flag in known)
        return (masters, len(known)) == (self.masters, len(self.nodes)) and (
            is_master(node) or follows_its_master(node)
        )

    def node_of(self, key: str) -> RedisNode | None:
        """Return the node that serves a key at the moment; None while its master is gone."""
        for node in self.nodes:
            # MOVED names another node; a replica answers so too.
            if node.pid and not node.ask(f"GET {key}\r\n".encode()).startswith(b"-"):
                return node
        return None

    @property
    def location(self) -> str:
        hosts = ",".join(f"{node.host}:{node.port}" for node in self.nodes)
        return f"redis+cluster://{hosts}/"


class NewestRedisCluster(RedisCluster):
    """The same of the newest Redis."""

    name = "redis-newest-cluster"
    node_class = NewestRedisNode


class ValkeyCluster(RedisCluster):
    """The same of Valkey."""

    name = "valkey-cluster"
    node_class = ValkeyNode
