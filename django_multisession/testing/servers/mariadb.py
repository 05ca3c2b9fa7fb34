"""A MariaDB server with a data directory of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django_multisession.testing.servers.base import Server, find_program

USER = "multisession"
PASSWORD = "not-a-secret"
DATABASE = "multisession"
SBIN = Path("/usr/sbin")
"""Where Debian keeps the server; an ordinary user's PATH lacks that."""


class MariaDBServer(Server[dict[str, Any]]):
    """`mariadb-install-db` and `mariadbd`; `options` such as `"--max-connections=10"`.

    The user may make databases whose names begin with `test_`, as Django's test runner does.
    """

    name = "mariadb"
    # As root it runs only if told so.
    unprivileged = ("mysql", "nobody")

    @classmethod
    def available(cls) -> str | None:
        if _program("mariadb-install-db") and _program("mariadbd"):
            return None
        return "mariadb: mariadb-install-db and mariadbd are neither on the PATH nor in /usr/sbin"

    def prepare(self) -> None:
        self.run(
            [
                *(_program("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}"),
                *("--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal"),
                # Two at once would take the same names in /tmp.
                f"--tmpdir={self.directory}",
            ]
        )
        (self.directory / "users.sql").write_text(
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'{self.host}' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'{self.host}';\n"
            f"GRANT ALL ON `test\\_%`.* TO '{USER}'@'{self.host}';\n"
        )

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def command(self) -> Sequence[str]:
        fixed = [
            "--no-defaults",  # nothing of the machine's own server
            f"--datadir={self._data}",
            f"--socket={self.directory / 'socket'}",
            f"--pid-file={self.directory / 'pid'}",
            f"--tmpdir={self.directory}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            f"--init-file={self.directory / 'users.sql'}",  # run before it listens
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=32M",
        ]
        return [_program("mariadbd"), *fixed, *self.options]

    def answers(self) -> bool:
        return bool(self.version())

    def location_at(self, port: int) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": DATABASE,
            "USER": USER,
            "PASSWORD": PASSWORD,
            "HOST": self.host,
            "PORT": str(port),
        }

    def version(self) -> str:
        # The greeting: four bytes of length and number, protocol 10, "5.5.5-10.11.19-MariaDB…" to the zero byte.
        greeting = self.ask(b"")
        if greeting[4:5] != b"\x0a":
            return ""
        return greeting[5:].partition(b"\0")[0].decode().removeprefix("5.5.5-")


def _program(name: str) -> str:
    return find_program(name, directories=[SBIN]) or ""
