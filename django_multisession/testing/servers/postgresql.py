"""A PostgreSQL server with a cluster of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import signal
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django_multisession.testing.servers.base import Server, find_program

USER = "multisession"
PASSWORD = "not-a-secret"
DATABASE = "postgres"  # which initdb makes


class SpeaksPostgreSQL(Server[dict[str, Any]]):
    """What speaks PostgreSQL's protocol: the server, and a pooler before it."""

    def answers(self) -> bool:
        # As pg_isready asks: "R" (authenticate) is readiness, "E" is "the system is starting up".
        parameters = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
        packet = struct.pack("!ii", 8 + len(parameters), 3 << 16) + parameters
        return self.ask(packet).startswith(b"R")

    @property
    def url(self) -> str:
        """libpq's address, password included."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Return libpq's address of this server, reached through `port`."""
        return f"postgresql://{USER}:{PASSWORD}@{self.host}:{port}/{DATABASE}"

    def location_at(self, port: int) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE,
            "USER": USER,
            "PASSWORD": PASSWORD,
            "HOST": self.host,
            "PORT": str(port),
        }


class PostgreSQLServer(SpeaksPostgreSQL):
    """`initdb` and `postgres`; `options` such as `"-c", "max_connections=10"`."""

    name = "postgresql"
    # SIGTERM would wait for the clients to leave.
    stop_signal = signal.SIGINT
    # It refuses to run as root.
    unprivileged = ("postgres", "nobody")

    @classmethod
    def available(cls) -> str | None:
        if _program("initdb") and _program("postgres"):
            return None
        return "postgresql: initdb and postgres are neither on the PATH nor in /usr/lib/postgresql"

    def prepare(self) -> None:
        password = self.directory / "password"
        password.write_text(_verifier(PASSWORD))
        password.chmod(0o644)  # initdb reads it as the unprivileged user
        command = [
            *(_program("initdb"), "-D", str(self._data), "-U", USER, "--pwfile", str(password)),
            # SCRAM as in production, for the sake of a driver's errors; see _verifier().
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"),
        ]
        self.run(command)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",
            "full_page_writes": "off",
            "autovacuum_naptime": "1h",  # no surprises while statistics are counted
        }
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        program = _program("postgres")
        return [program, "-D", str(self._data), "-p", str(self.port), *flags, *self.options]

    def version(self) -> str:
        output = subprocess.run([_program("postgres"), "--version"], capture_output=True, text=True, check=True).stdout
        return output.split()[2]


def _verifier(password: str) -> str:
    """Return what PostgreSQL keeps of a password for SCRAM (RFC 5803), hashed once instead of 4,096 times.

    For each of thousands of connections that would cost the client milliseconds.
    """
    salt, iterations = secrets.token_bytes(16), 1
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key, server_key = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    kept = (base64.b64encode(each).decode() for each in (salt, hashlib.sha256(client_key).digest(), server_key))
    return "SCRAM-SHA-256${iterations}:{}${}:{}".format(*kept, iterations=iterations)


def _program(name: str) -> str:
    # Debian keeps them off the PATH, one directory a version: the newest.
    directories = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    return find_program(name, directories=directories[::-1]) or ""
