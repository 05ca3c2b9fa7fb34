"""A Redis Cluster: its nodes share the keys by slot, and a replica takes over where a master is lost.

Each node is asked like a single server, without redis-py's RedisCluster (decisions.md, D44): that learns a new topology
inside the call that has failed, without a limit, does not send WAIT over the connection that wrote, and retries by
itself. Here each call has a time limit and the breaker of its node, and follows MOVED and ASK, which count as answers.
The topology is learnt in the first call, in each probe, and after a MOVED beside the calls.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis

from ...breaker import PROBE_TIMEOUT, Breaker, breaker_for
from ...bridge import native_loop, run_sync
from ...runtime import monotonic
from .connections import Connections
from .failures import Command, answered
from .location import address as shown
from .server import Notes, counted
from .topology import Node, Topology, slot_of

MOST_HOPS: Final = 5
"""How often a command may be redirected to another node."""
REFRESH_INTERVAL: Final = 1.0
"""Seconds between two refreshes of the topology because of MOVED."""
SLOTS: Final = 16384


def _address_of(command: Command) -> str:
    """Return the key of a command: of a script, behind its digest and its number of keys."""
    return str(command[3] if command[0] in ("EVAL", "EVALSHA") else command[1])


class Cluster:
    """See Server. ``connect`` makes the connections to a node; ``seeds`` are the nodes that LOCATION names."""

    is_divided = True

    def __init__(
        self,
        name: str,
        wait: int,
        seeds: Sequence[tuple[str, int]],
        connect: Callable[[Node], Connections],
        remap: Callable[[tuple[str, int]], tuple[str, int]] | None,
    ) -> None:
        self.name = name
        self.wait = wait
        self._scheme = name.partition("+")[0]
        self._seeds = [Node(*seed) for seed in seeds]
        self._connect = connect
        self._remap = remap or (lambda address: address)
        self._connections: dict[Node, Connections] = {}
        self._topology: Topology | None = None
        self._moved: dict[int, Node] = {}
        self._refreshed_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # Where things are.

    def is_located(self) -> bool:
        return self._topology is not None

    async def locate(self, seconds: float, last: Node | None = None) -> None:
        """Ask one node after another for the topology, ``last`` at the end; each may take half of the time left."""
        topology = self._topology
        known = topology.nodes if topology else []
        nodes = sorted(dict.fromkeys([*known, *self._seeds]), key=lambda node: node == last)
        ends_at = monotonic() + seconds
        failed: Exception = redis.ConnectionError("no node is known")
        for node in nodes:
            left = (ends_at - monotonic()) / 2
            if left <= 0:
                break
            try:
                [slots] = await self._at(node).ask(left, [("CLUSTER", "SLOTS")], alone=True)
            except (redis.RedisError, OSError) as error:
                failed = error
                continue
            if isinstance(slots, Exception):
                raise slots
            self._topology, self._moved = Topology(slots, node, self._remap), {}
            self._refreshed_at = monotonic()
            return
        raise failed

    def _at(self, node: Node) -> Connections:
        found = self._connections.get(node)
        return found or self._connections.setdefault(node, self._connect(node))

    def node_of(self, address: str) -> Node | None:
        if self._topology is None:
            return None
        slot = slot_of(address)
        return self._moved.get(slot) or self._topology.master_of(slot)

    def nodes(self) -> Sequence[Node]:
        return self._topology.masters if self._topology else ()

    def breaker(self, node: Any) -> Breaker | None:
        return None if node is None else breaker_for(f"{self._scheme}://{shown(*node)}/")

    def pages(self, addresses: Sequence[str], size: int) -> list[Sequence[str]]:
        by_node: dict[Any, list[str]] = {}
        for address in addresses:
            by_node.setdefault(self.node_of(address), []).append(address)
        return [each[start : start + size] for each in by_node.values() for start in range(0, len(each), size)]

    def deletes(self, addresses: Sequence[str]) -> list[Command]:
        # One DEL takes keys of one slot only.
        return [("DEL", address) for address in addresses]

    # Asking.

    async def ask(self, seconds: float, commands: Sequence[Command], alone: bool) -> list[Any]:
        node = self.node_of(_address_of(commands[0]))
        if node is None:
            raise redis.ConnectionError("no node is known")
        ends_at = monotonic() + seconds
        answers = await self._at(node).ask(seconds, commands, alone)
        after = [commands[-1]] if commands[-1][0] == "WAIT" else []
        for index, answer in enumerate(answers):
            if isinstance(answer, redis.exceptions.AskError):  # the base class of MovedError
                followed = await self._follow(ends_at, [commands[index], *after], node, answer)
                answers[index] = followed[0]
                if after:
                    answers[-1] = followed[-1]
        return answers

    async def answer(self, seconds: float, command: Command, alone: bool) -> Any:
        return answered(*await self.ask(seconds, [command], alone))

    async def _follow(self, ends_at: float, commands: list[Command], node: Node, sent_on: Any) -> list[Any]:
        """Send a command to the node that the server names for its key."""
        for _ in range(MOST_HOPS):
            node = Node(*self._remap((sent_on.host or node.host, sent_on.port)))
            seconds = max(ends_at - monotonic(), 0.001)
            if isinstance(sent_on, redis.exceptions.MovedError):
                self._moved[sent_on.slot_id] = node
                self._refresh_soon()
                answers = await self._at(node).ask(seconds, commands, alone=True)
            else:
                # The slot is being moved, and this key already has been.
                answers = (await self._at(node).ask(seconds, [("ASKING",), *commands], alone=True))[1:]
            if not isinstance(answers[0], redis.exceptions.AskError):
                return answers
            sent_on = answers[0]
        raise redis.exceptions.ClusterError("sent on too often")

    def _refresh_soon(self) -> None:
        """Learn the topology in the background, at most once in REFRESH_INTERVAL."""
        if monotonic() - self._refreshed_at < REFRESH_INTERVAL:
            return
        self._refreshed_at = monotonic()
        if native_loop() is None:
            threading.Thread(
                target=lambda: run_sync(self._refresh()), name="multisession-topology", daemon=True
            ).start()
        else:
            task = asyncio.create_task(self._refresh())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _refresh(self) -> None:
        with contextlib.suppress(redis.RedisError, OSError):  # _follow() has noted what MOVED said
            await self.locate(REFRESH_INTERVAL)

    async def ask_node(self, seconds: float, node: Any, commands: Sequence[Command]) -> list[Any]:
        return await self._at(node).ask(seconds, commands, alone=True)

    async def probe(self, node: Any, command: Command) -> None:
        """See Server.probe(). The topology is learnt first: a node without slots need not answer."""
        try:
            await self.locate(PROBE_TIMEOUT, last=node)
        except (redis.RedisError, OSError):
            if node is None:
                raise
        if node is not None and node in self.nodes():
            await self._at(node).probe(command)

    def notes(self, infos: dict[Any, dict[str, str]]) -> Notes:
        topology = self._topology
        if topology is None:
            return (), ()
        problems = []
        if (missing := SLOTS - topology.covered()) > 0:
            problems.append(f"{missing} of {SLOTS} slots have no master: their sessions cannot be read.")
        # CLUSTER SLOTS leaves out the replicas of a node that has no data yet.
        replicas = {node: int(info.get("connected_slaves", 0)) for node, info in infos.items()}
        for master, number in replicas.items():
            if not number:
                problems.append(f"{shown(*master)} has no replica: with it, its sessions are lost. Add one.")
        named = ", ".join(f"{shown(*master)} ({counted(number, 'replica')})" for master, number in replicas.items())
        masters, others = counted(len(replicas), "master"), counted(sum(replicas.values()), "replica")
        return tuple(problems), (f"Redis Cluster: {masters}, {others}: {named}.",)

    def close(self) -> None:
        for connections in self._connections.values():
            connections.close()
