"""A memcached server."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from django_multisession.testing.servers.base import Server, find_program


class MemcachedServer(Server[str]):
    """`memcached`, TCP only; `options` such as `"-m", "1"` (MiB) come last and win."""

    name = "memcached"
    # It takes a second to leave when asked, and has nothing to put away.
    stop_signal = signal.SIGKILL
    unprivileged = ("memcache", "nobody")

    @classmethod
    def available(cls) -> str | None:
        return None if find_program("memcached") else "memcached: not on the PATH"

    def command(self) -> Sequence[str]:
        program = find_program("memcached")
        assert program
        return [program, "-l", self.host, "-p", str(self.port), "-U", "0", *self.options]

    def answers(self) -> bool:
        return self.ask(b"version\r\n").startswith(b"VERSION")

    def location_at(self, port: int) -> str:
        return f"{self.host}:{port}"

    def version(self) -> str:
        return self.ask(b"version\r\n").decode().split()[1]
