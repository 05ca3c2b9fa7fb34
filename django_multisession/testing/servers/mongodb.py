"""A MongoDB server: `mongod` if it is on the PATH, else mongo-java-server.

mongo-java-server keeps everything in memory, updates atomically, reports server 7.0, and accepts
TTL indexes without enforcing them, which is what a lagging TTL monitor looks like.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from django_multisession.testing.servers.base import CACHE, Server, ServerError, find_program

SOURCES = Path(__file__).parent / "mongo"
JARS = CACHE / "mongo-java-server"
DATABASE = "multisession"


class MongoDBServer(Server[str]):
    """`mongod`, or mongo-java-server, which takes no `options`."""

    name = "mongodb"
    start_timeout = 60.0

    @classmethod
    def available(cls) -> str | None:
        if find_program("mongod"):
            return None
        # A launcher in source form needs the compiler, which a bare JRE lacks.
        missing = [name for name in ("java", "javac") if not find_program(name)]
        if not _fetched() and not find_program("mvn"):
            missing.append("mvn")
        if missing:
            return f"mongodb: no mongod on the PATH, and no {', '.join(missing)} to stand in for it"
        return None

    def prepare(self) -> None:
        if not find_program("mongod"):
            fetch()

    @property
    def is_real(self) -> bool:
        """Whether this is `mongod`, with a TTL monitor and majority writes that mean something."""
        return find_program("mongod") is not None

    def command(self) -> Sequence[str]:
        program = find_program("mongod")
        if program:
            data = self.directory / "data"
            data.mkdir(exist_ok=True)
            fixed = ["--bind_ip", self.host, "--port", str(self.port), "--dbpath", str(data)]
            return [program, *fixed, "--nounixsocket", *self.options]
        java = find_program("java")
        assert java
        # Small and quick to start rather than quick in the long run.
        tuning = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        launcher = str(SOURCES / "Launcher.java")
        return [java, *tuning, "-cp", f"{JARS}/*", launcher, self.host, str(self.port)]

    def answers(self) -> bool:
        return bool(self.version())

    def location_at(self, port: int) -> str:
        return f"mongodb://{self.host}:{port}/{DATABASE}"

    def version(self) -> str:
        # {"version": "7.0.0", …}: type 2, name, length, text.
        reply = self._run(b"\x10buildInfo\0\x01\0\0\0")
        return reply.partition(b"\x02version\0")[2][4:].partition(b"\0")[0].decode()

    def _run(self, command: bytes) -> bytes:
        # OP_MSG with one BSON document: a few bytes by hand, and no client library is needed.
        body = command + b"\x02$db\0\x06\0\0\0admin\0"
        document = struct.pack("<i", len(body) + 5) + body + b"\0"
        header = struct.pack("<iiiiIB", 21 + len(document), 1, 0, 2013, 0, 0)
        return self.ask(header + document)


def fetch() -> None:
    """Copy mongo-java-server's jars from Maven Central to the cache, unless they are there."""
    if _fetched():
        return
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "mongo-java-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest-xdist start at the same time
        if _fetched():
            return
        mvn = find_program("mvn")
        if not mvn:
            raise ServerError("mongodb: mvn is needed to fetch mongo-java-server")
        result = subprocess.run(
            [
                *(mvn, "-B", "-q", "-f", str(SOURCES / "pom.xml")),
                *("dependency:copy-dependencies", f"-DoutputDirectory={JARS}"),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MAVEN_OPTS": "-Xmx256m"},
        )
        if result.returncode:
            raise ServerError(f"mongodb: mvn failed:\n{result.stdout}{result.stderr}")
        _stamp().touch()


def _stamp() -> Path:
    return JARS / "complete"


def _fetched() -> bool:
    # Jars of an earlier pom.xml beside new ones would both be on the class path.
    stamp = _stamp()
    return stamp.exists() and stamp.stat().st_mtime >= (SOURCES / "pom.xml").stat().st_mtime
