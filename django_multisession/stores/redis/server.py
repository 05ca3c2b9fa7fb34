"""The interface of what a Redis store asks (Server), and its simple case: one server that has all records.

That one is the server that LOCATION names, or the master that sentinels name; for a cluster see cluster.py.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ...breaker import Breaker
from .connections import Connections
from .failures import Command

Ask = Callable[[float, Sequence[Command], bool], Awaitable[list[Any]]]
"""Takes the seconds, the commands, and whether they go alone; see Connections.ask()."""
Answer = Callable[[float, Command, bool], Awaitable[Any]]
"""Takes the same for one command, and returns its answer; see Connections.answer()."""
Notes = tuple[tuple[str, ...], tuple[str, ...]]
"""Problems, and notes; see Inspection."""


def counted(number: int, name: str) -> str:
    """Return a number with a noun: ``1 replica``, ``2 replicas``, ``no replicas``."""
    return f"1 {name}" if number == 1 else f"{number or 'no'} {name}s"


class Server(Protocol):
    """What a store asks: one server, or a cluster. A node identifies one of several servers; a single one's is None."""

    name: str
    wait: int
    """OPTIONS["wait"]: how many replicas must confirm the start or the end of a session."""

    is_divided: bool
    """Whether the keys are divided among several nodes."""

    def is_located(self) -> bool:
        """Tell whether it is known where each key is; if not, locate() is to be awaited first."""

    async def locate(self, seconds: float) -> None:
        """Learn where each key is."""

    def node_of(self, address: str) -> Any:
        """Return the node that has a key now."""

    def nodes(self) -> Sequence[Any]:
        """Return all nodes that have keys."""

    def breaker(self, node: Any) -> Breaker | None:
        """Return the breaker of a node, None for the store's."""

    def pages(self, addresses: Sequence[str], size: int) -> list[Sequence[str]]:
        """Return the addresses in pages of at most ``size``, each for one round trip to one node."""

    def deletes(self, addresses: Sequence[str]) -> list[Command]:
        """Return the commands that delete a page of addresses."""

    @property
    def ask(self) -> Ask:
        """Asks about the keys of one page."""

    @property
    def answer(self) -> Answer:
        """Asks about one key."""

    async def ask_node(self, seconds: float, node: Any, commands: Sequence[Command]) -> list[Any]:
        """Return a node's answers to commands about itself."""

    async def probe(self, node: Any, command: Command) -> None:
        """Ask a node on a new connection; see Connections.probe()."""

    def notes(self, infos: dict[Any, dict[str, str]]) -> Notes:
        """Return the problems and notes about the whole, given each node's INFO."""

    def close(self) -> None:
        """Close the idle connections of threads."""


class SingleServer:
    """See Server; ``sentinels`` is how many watch it."""

    is_divided = False

    def __init__(self, name: str, wait: int, connections: Connections, sentinels: int = 0) -> None:
        self.name = name
        self.wait = wait
        self.ask: Ask = connections.ask
        self.answer: Answer = connections.answer
        self._connections = connections
        self._sentinels = sentinels

    def is_located(self) -> bool:
        return True

    async def locate(self, seconds: float) -> None:
        """Do nothing: the address is known, or each new connection asks for it."""

    def node_of(self, address: str) -> Any:
        return None

    def nodes(self) -> Sequence[Any]:
        return [None]

    def breaker(self, node: Any) -> Breaker | None:
        return None

    def pages(self, addresses: Sequence[str], size: int) -> list[Sequence[str]]:
        return [addresses[start : start + size] for start in range(0, len(addresses), size)]

    def deletes(self, addresses: Sequence[str]) -> list[Command]:
        return [("DEL", *addresses)]

    async def ask_node(self, seconds: float, node: Any, commands: Sequence[Command]) -> list[Any]:
        return await self._connections.ask(seconds, commands, alone=True)

    async def probe(self, node: Any, command: Command) -> None:
        await self._connections.probe(command)

    def notes(self, infos: dict[Any, dict[str, str]]) -> Notes:
        [info] = infos.values()
        replicas = int(info.get("connected_slaves", 0))
        if not self._sentinels:
            return (), (f"One server with {counted(replicas, 'replica')}.",)
        problems = () if replicas else ("The master has no replica that could take over. Add one.",)
        if self._sentinels == 1:
            problems = (*problems, "LOCATION names one sentinel only: when that is down, no master is found. Name all.")
        watched = f"a master with {counted(replicas, 'replica')}, {counted(self._sentinels, 'sentinel')} in LOCATION."
        return problems, (f"Redis Sentinel: {watched}",)

    def close(self) -> None:
        self._connections.close()
