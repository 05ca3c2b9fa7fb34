"""One server, where all records are: the one that LOCATION names, or the master that sentinels name."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ...breaker import Breaker
from .connections import Connections
from .failures import Command

Ask = Callable[[float, Sequence[Command], bool], Awaitable[list[Any]]]
"""Takes seconds, commands, and whether they go alone."""
Answer = Callable[[float, Command, bool], Awaitable[Any]]
"""Takes the same for one command, and returns its answer; a refusal is raised."""
Notes = tuple[tuple[str, ...], tuple[str, ...]]
"""Problems, and notes; see Inspection."""


def counted(number: int, name: str) -> str:
    """Return how many of something there are, in words."""
    return f"1 {name}" if number == 1 else f"{number or 'no'} {name}s"


class Server(Protocol):
    """What a store asks: one server, or a cluster of them. A node is what stands for one of several, None for one."""

    name: str
    wait: int
    """OPTIONS["wait"]: how many replicas are to have what ends or begins a session."""

    is_divided: bool
    """Whether each key has one of several nodes."""

    def is_located(self) -> bool:
        """Tell whether it is known where each key is; if not, locate() is to be awaited first."""

    async def locate(self, seconds: float) -> None:
        """Learn where each key is."""

    def node_of(self, address: str) -> Any:
        """Return the node that has a key at the moment."""

    def nodes(self) -> Sequence[Any]:
        """Return all nodes that have keys."""

    def breaker(self, node: Any) -> Breaker | None:
        """Return the breaker of a node, None for the store's."""

    def pages(self, addresses: Sequence[str], size: int) -> list[Sequence[str]]:
        """Return addresses in parts, each for one round trip."""

    def deletes(self, addresses: Sequence[str]) -> list[Command]:
        """Return the commands that delete a page of addresses."""

    @property
    def ask(self) -> Ask:
        """Return the answers to commands about the keys of one page; see Connections.ask()."""

    @property
    def answer(self) -> Answer:
        """Return the answer to a command about one key; see Connections.answer()."""

    async def ask_node(self, seconds: float, node: Any, commands: Sequence[Command]) -> list[Any]:
        """Return a node's answers to commands about itself."""

    async def probe(self, node: Any, command: Command) -> None:
        """Ask a node on a new connection; see Connections.probe()."""

    def notes(self, infos: dict[Any, dict[str, str]]) -> Notes:
        """Return what is to be said of the whole, given each node's INFO."""

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
        """Do nothing: its address is known, or asked for by each new connection."""

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
