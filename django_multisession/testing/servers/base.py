"""The base of all test servers: a process on a free loopback port that can be made to hang, and ended."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import psutil

from django_multisession.testing.servers import guard

LOOPBACK = "127.0.0.1"
CACHE = Path(os.environ.get("MULTISESSION_CACHE", ".cache")).resolve()
"""What servers need and no package has, such as mongo-java-server's jars, once it was fetched."""

LocationT = TypeVar("LocationT")


class ServerError(Exception):
    """The server did not start, or ended by itself; the message ends with its log."""


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def find_program(*names: str, directories: Sequence[Path] = ()) -> str | None:
    """Return the path of the first program that is there, on the PATH or in `directories`."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, directories)])
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


class Service(ABC):
    """What is started, hung and ended: one server, or several that are one. Use as a context manager."""

    @abstractmethod
    def start(self) -> Self:
        """Start, and wait until it answers; raise ServerError if it won't."""

    @abstractmethod
    def stop(self) -> None:
        """End it, and remove what it has left. Does nothing when it is not started."""

    @abstractmethod
    def pause(self) -> None:
        """Hang: the port still accepts (the kernel does), nothing answers."""

    @abstractmethod
    def resume(self) -> None:
        """End a `pause()`: what waited is answered now."""

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Hang inside the `with` block."""
        try:
            self.pause()
            yield
        finally:
            self.resume()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class Server(Service, Generic[LocationT]):
    """A server process of the tests' own.

    `options` are added to the server's command line. Nothing listens beyond loopback, and the
    process ends with the tests, however these end.
    """

    name: ClassVar[str]
    start_timeout: ClassVar[float] = 30.0  # seconds
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # Users to become, the first that exists, for a server that refuses to run as root.
    unprivileged: ClassVar[Sequence[str]] = ()

    host = LOOPBACK
    read_timeout = 1.0  # seconds, of the raw connections that connect() and ask() make

    def __init__(self, *options: str) -> None:
        self.options = options
        self.port = 0  # until started
        self.pid = 0
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._guard: subprocess.Popen[str] | None = None
        self._paused: list[psutil.Process] = []

    # What a kind of server defines.

    @classmethod
    @abstractmethod
    def available(cls) -> str | None:
        """Return why this server cannot be started here, or None if it can."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the program and its arguments, for `self.port` and `self.directory`."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether the server serves; False or an OSError while it does not yet."""

    @abstractmethod
    def location_at(self, port: int) -> LocationT:
        """Return what goes into Django's settings for this server, reached through `port`."""

    @abstractmethod
    def version(self) -> str:
        """Return the version that the running server reports."""

    def prepare(self) -> None:
        """Make what the server needs in its directory; called once, before the first start."""

    def choose_ports(self) -> None:
        """Set `self.port`, and whatever else it listens on; called before each try to start."""
        self.port = free_port()

    # What every server does.

    @property
    def location(self) -> LocationT:
        """What a Django user would put into the settings: a LOCATION, or a DATABASES entry."""
        return self.location_at(self.port)

    @property
    def directory(self) -> Path:
        """The server's own temporary directory; it goes with `stop()`."""
        assert self._directory is not None, f"{self.name} is not started"
        return Path(self._directory.name)

    @property
    def user(self) -> str:
        """The user to run as, empty for the current one."""
        if not self.unprivileged or os.geteuid() != 0:
            return ""
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next(user for user in self.unprivileged if user in known)

    def start(self) -> Self:
        """Start on a free port and wait until the server answers; raise ServerError if it won't."""
        reason = self.available()
        if reason:
            raise ServerError(reason)
        # A socket path must be short, and an unprivileged user must get there: not pytest's own.
        self._directory = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        try:
            if self.user:
                shutil.chown(self.directory, self.user)
            self.prepare()
            # Another process may take the free port first: three tries.
            for attempts_left in (2, 1, 0):
                self.choose_ports()
                try:
                    self._launch()
                except ServerError:
                    if not attempts_left or "in use" not in self.log_tail().lower():
                        raise
                else:
                    break
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the process and remove its directory. Does nothing when it is not started."""
        self._end()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def restart(self) -> None:
        """End the process and start it again on the same port, with what it kept on disk."""
        self._end()
        self._launch()

    def kill(self) -> None:
        """End the process at once, as a crash does; `restart()` brings it back."""
        guard.kill_tree(self.pid)
        self._end()

    def pause(self) -> None:
        """Hang: the port still accepts (the kernel does), nothing answers."""
        # The parent first, so that it cannot fork a child that is missed.
        self._paused = guard.tree(self.pid)[:1]
        self._suspend(self._paused)
        self._paused = guard.tree(self.pid)
        self._suspend(self._paused[1:])

    @staticmethod
    def _suspend(processes: Sequence[psutil.Process]) -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
                # The signal takes effect when the process is scheduled next.
                while process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
                    time.sleep(0.001)

    def resume(self) -> None:
        """End a `pause()`: what waited is answered now."""
        # psutil tells a process from a later one with the same id.
        for process in reversed(self._paused):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        self._paused = []

    def run(self, command: Sequence[str]) -> None:
        """Run a program to its end, as the server's user and in its directory; raise ServerError if it fails."""
        identity: dict[str, Any] = {}
        if self.user:
            identity = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.directory, **identity)
        if result.returncode:
            raise ServerError(f"{self.name}: {Path(command[0]).name} failed:\n{result.stdout}{result.stderr}")

    def log_tail(self, lines: int = 20) -> str:
        """Return the end of what the server printed."""
        try:
            text = self._log.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def connect(self) -> socket.socket:
        """Return a new raw connection."""
        return socket.create_connection((self.host, self.port), self.read_timeout)

    def ask(self, request: bytes) -> bytes:
        """Send `request` on a new connection and return the first bytes that come back."""
        with self.connect() as connection:
            connection.sendall(request)
            return connection.recv(65536)

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _launch(self) -> None:
        # Isolated: this directory's redis.py must not stand in for the client library, and the
        # guard is not measured for coverage.
        guard_command = [sys.executable, "-I", guard.__file__, str(self.directory), self.user]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
        with self._log.open("wb") as log:
            self._guard = subprocess.Popen(
                [*guard_command, *self.command()],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # the guard must outlive Ctrl-C, which is for pytest
            )
        try:
            assert self._guard.stdout is not None
            pid = self._guard.stdout.readline()
            if not pid:
                raise ServerError(f"{self.name} did not start:\n{self.log_tail()}")
            self.pid = int(pid)
            self._wait_until_it_answers(self._guard)
        except BaseException:
            self._end()
            raise

    def _wait_until_it_answers(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + self.start_timeout
        while process.poll() is None:
            with contextlib.suppress(OSError):
                if self.answers() and self._listens():
                    return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer on port {self.port} within "
                    f"{self.start_timeout:g} s:\n{self.log_tail()}"
                )
            time.sleep(0.02)
        raise ServerError(f"{self.name} ended with exit code {process.returncode}:\n{self.log_tail()}")

    def _listens(self) -> bool:
        # Of two servers that were given the same port, the other one answers for both.
        for process in guard.tree(self.pid):
            with contextlib.suppress(psutil.Error):
                connections = process.net_connections("tcp")
                if any(each.status == psutil.CONN_LISTEN and each.laddr.port == self.port for each in connections):
                    return True
        return False

    def _end(self) -> None:
        process, self._guard = self._guard, None
        if process is None:
            return
        self.resume()
        if process.poll() is None and self.pid:
            for server in guard.tree(self.pid)[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    server.send_signal(self.stop_signal)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                guard.kill_tree(self.pid)
                process.wait()  # at the end of its input the guard would remove the directory
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # a guard that has no server yet sees that it need not go on
        process.stdout.close()
        process.wait()
        self.pid = 0
