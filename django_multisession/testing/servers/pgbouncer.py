"""PgBouncer in transaction mode, before a PostgreSQL server."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from django_multisession.testing.servers.base import find_program
from django_multisession.testing.servers.postgresql import (
    DATABASE,
    PASSWORD,
    USER,
    PostgreSQLServer,
    SpeaksPostgreSQL,
)

SBIN = Path("/usr/sbin")
"""Where Debian keeps it; an ordinary user's PATH lacks that."""


class PgBouncerServer(SpeaksPostgreSQL):
    """A pooler that lends a connection for a transaction.

    `options` are lines of its configuration, such as `"default_pool_size=1"`. It starts and ends a PostgreSQL server of
    its own unless `upstream`, which is running, is given.
    """

    name = "pgbouncer"
    # It refuses to run as root.
    unprivileged = ("postgres", "nobody")

    def __init__(self, *options: str, upstream: PostgreSQLServer | None = None) -> None:
        super().__init__(*options)
        self.upstream = upstream or PostgreSQLServer()
        self._owns_upstream = upstream is None

    @classmethod
    def available(cls) -> str | None:
        if not cls._program():
            return "pgbouncer: neither on the PATH nor in /usr/sbin"
        return PostgreSQLServer.available()

    @staticmethod
    def _program() -> str:
        return find_program("pgbouncer", directories=[SBIN]) or ""

    def prepare(self) -> None:
        if self._owns_upstream:
            self.upstream.start()
        (self.directory / "users").write_text(f'"{USER}" "{PASSWORD}"\n')

    def stop(self) -> None:
        super().stop()
        if self._owns_upstream:
            self.upstream.stop()

    def command(self) -> Sequence[str]:
        upstream = f"host={self.upstream.host} port={self.upstream.port} dbname={DATABASE}"
        settings = [
            "[databases]",
            f"{DATABASE} = {upstream}",
            "[pgbouncer]",
            f"listen_addr = {self.host}",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = scram-sha-256",
            f"auth_file = {self.directory / 'users'}",
            f"admin_users = {USER}",
            "pool_mode = transaction",
            *self.options,
        ]
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text("\n".join(settings))
        return [self._program(), str(configuration)]

    def version(self) -> str:
        output = subprocess.run([self._program(), "--version"], capture_output=True, text=True, check=True).stdout
        return output.split()[1]
