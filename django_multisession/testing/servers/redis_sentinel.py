"""Redis Sentinel: a master, replicas of it, and three sentinels that let one take over."""

from __future__ import annotations

from collections.abc import Sequence

from django_multisession.testing.servers.group import ServerGroup
from django_multisession.testing.servers.redis import RedisServer, follows_its_master, is_master

SERVICE = "sessions"
"""The name by which the sentinels know the master."""


class SentinelServer(RedisServer):
    """One sentinel, which watches `master` once that is started."""

    name = "redis-sentinel"

    def __init__(self, master: RedisServer, quorum: int, down_after: float) -> None:
        super().__init__()
        self.master = master
        self.quorum = quorum
        self.down_after = down_after

    @property
    def watched_port(self) -> int:
        """The port by which it knows its master."""
        return self.master.port

    def command(self) -> Sequence[str]:
        program = self._program()
        assert program
        configuration = self.directory / "sentinel.conf"
        if not configuration.exists():  # it keeps there what it learns
            milliseconds = round(self.down_after * 1000)
            configuration.write_text(
                f"sentinel monitor {SERVICE} {self.master.host} {self.watched_port} {self.quorum}\n"
                f"sentinel down-after-milliseconds {SERVICE} {milliseconds}\n"
                f"sentinel failover-timeout {SERVICE} {milliseconds * 4}\n"
                "sentinel resolve-hostnames no\n"
            )
        place = ["--bind", self.host, "--port", str(self.port), "--dir", str(self.directory)]
        return [program, str(configuration), *place, "--sentinel"]

    def location_at(self, port: int) -> str:
        return f"redis+sentinel://{self.host}:{port}/{SERVICE}"


class ReplicaServer(RedisServer):
    """A replica of `master`, which is running when this starts."""

    name = "redis-replica"

    def __init__(self, master: RedisServer, *options: str) -> None:
        super().__init__(*options)
        self.master = master

    def command(self) -> Sequence[str]:
        following = ["--replicaof", self.master.host, str(self.master.port)]
        return [*super().command(), *following, "--repl-diskless-sync-delay", "0"]


class RedisSentinel(ServerGroup[str]):
    """`servers[0]` starts as the master, the others as its replicas; three `sentinels` watch.

    `options` go to each server, not to the sentinels. A master that is silent for `down_after` seconds is replaced.
    """

    name = "redis-sentinel"
    replicas = 2
    quorum = 2

    def __init__(self, *options: str, down_after: float = 1.0) -> None:
        master = RedisServer(*options, "--repl-diskless-sync-delay", "0")
        self.servers: list[RedisServer] = [
            master,
            *(ReplicaServer(master, *options) for _ in range(self.replicas)),
        ]
        self.sentinels = [SentinelServer(master, self.quorum, down_after) for _ in range(3)]

    @classmethod
    def available(cls) -> str | None:
        return RedisServer.available()

    @property
    def members(self) -> Sequence[RedisServer]:
        return [*self.servers, *self.sentinels]

    def form(self) -> None:
        """Sentinels find one another, and the replicas, through the master."""

    def answers(self) -> bool:
        return all(map(self._agrees, self.sentinels)) and (
            # A master that comes back takes itself for one until a sentinel tells it.
            sum(map(is_master, self.servers)) == 1 and sum(map(follows_its_master, self.servers)) == self.replicas
        )

    def _agrees(self, sentinel: SentinelServer) -> bool:
        state = sentinel.ask(b"INFO sentinel\r\n").decode()
        return f"status=ok,address={self.master.host}:{self.master.port}" in state and (
            f"slaves={self.replicas},sentinels={len(self.sentinels)}" in state
        )

    @property
    def master(self) -> RedisServer:
        """The server that a sentinel names as the master at the moment."""
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.pid)
        reply = sentinel.ask(f"SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}\r\n".encode())
        port = int(reply.split()[4])
        return next(server for server in self.servers if server.port == port)

    @property
    def location(self) -> str:
        hosts = ",".join(f"{sentinel.host}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"
