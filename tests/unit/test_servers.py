"""The test servers and the proxy do what the other tests rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from django_multisession.testing.servers.base import Server, ServerError
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer
from tests.conftest import serve

KINDS = [RedisServer, MemcachedServer, PostgreSQLServer, MongoDBServer]
SET = b"SET k v\r\n"
GET = b"GET k\r\n"


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server[Any]]:
    # Of its own: these tests restart it.
    yield from serve(request.param)


@pytest.fixture
def redis_proxy(redis_server: RedisServer) -> Iterator[Proxy[str]]:
    with Proxy(redis_server) as proxy:
        yield proxy


def through(proxy: Proxy[str]) -> RedisServer:
    """Return the server as reached through the proxy, for its connect() and ask()."""
    server = RedisServer()
    server.port = proxy.port
    return server


def ask(proxy: Proxy[str], request: bytes) -> bytes:
    return through(proxy).ask(request)


class TestServer:
    def test_running_server_answers_on_loopback_and_reports_its_version(self, server: Server[Any]) -> None:
        assert server.answers()
        assert server.version()[0].isdigit()
        assert str(server.port) in str(server.location)
        listening = [
            connection.laddr.ip
            for process in [psutil.Process(server.pid)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) <= {server.host, "::ffff:127.0.0.1"}

    def test_paused_server_accepts_and_does_not_answer_until_resumed(
        self, server: Server[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with server.paused(), monkeypatch.context() as impatient:
            server.connect().close()
            impatient.setattr(server, "read_timeout", 0.1)
            with pytest.raises(TimeoutError):
                server.answers()
        assert server.answers()

    def test_restarted_server_keeps_its_port(self, server: Server[Any]) -> None:
        port, pid = server.port, server.pid
        server.restart()
        assert (server.port, server.answers()) == (port, True)
        assert server.pid != pid

    def test_killed_server_comes_back_by_restart(self, server: Server[Any]) -> None:
        pid = server.pid
        server.kill()
        assert not psutil.pid_exists(pid)
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.restart()
        assert server.answers()


def test_pause_of_postgresql_hangs_the_backends_as_well(
    postgresql_server: PostgreSQLServer,
) -> None:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        backend = connection.info.backend_pid
        assert os.getpgid(backend) != os.getpgid(postgresql_server.pid)
        with postgresql_server.paused():
            assert psutil.Process(backend).status() == psutil.STATUS_STOPPED
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.usefixtures("redis_server")  # says when there is none
def test_start_of_a_server_that_ends_at_once_shows_its_log() -> None:
    server = RedisServer("--no-such-option", "1")
    with pytest.raises(ServerError, match=r"(?s)redis ended with exit code 1:.*no-such-option"):
        server.start()


@pytest.mark.usefixtures("redis_server")  # says when there is none
def test_server_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    program = (
        "from django_multisession.testing.servers.redis import RedisServer\n"
        "server = RedisServer().start()\n"
        "server.pause()\n"
        "print(server.pid, flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent, parent.stdin, parent.stdout:
        server = psutil.Process(int(parent.stdout.readline()))
        guard = server.parent()
        assert guard is not None
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        server.wait(timeout=10)
        guard.wait(timeout=10)
    assert list(tmp_path.iterdir()) == []


class TestProxy:
    def test_forwards_and_counts(self, redis_proxy: Proxy[str]) -> None:
        assert ask(redis_proxy, SET) == b"+OK\r\n"
        assert (redis_proxy.connections, redis_proxy.requests) == (1, 1)
        assert (redis_proxy.bytes_sent, redis_proxy.bytes_received) == (len(SET), 5)
        assert redis_proxy.location == f"redis://127.0.0.1:{redis_proxy.port}/0"
        redis_proxy.reset()
        assert (redis_proxy.connections, redis_proxy.bytes_received) == (0, 0)

    def test_cut_reply_loses_the_reply_to_a_request_that_was_carried_out(
        self, redis_proxy: Proxy[str], redis_server: RedisServer
    ) -> None:
        redis_server.ask(b"DEL k\r\n")
        happened = redis_proxy.cut_reply(after=b"SET k")
        assert ask(redis_proxy, GET) == b"$-1\r\n"
        assert not happened.is_set()
        assert ask(redis_proxy, SET) == b""
        assert happened.is_set()
        assert ask(redis_proxy, GET) == b"$1\r\nv\r\n"

    def test_cut_reply_recognises_a_request_sent_in_parts(self, redis_proxy: Proxy[str]) -> None:
        redis_proxy.cut_reply(after=b"SET k")
        with through(redis_proxy).connect() as connection:
            connection.sendall(SET[:3])
            deadline = time.monotonic() + 5
            while not redis_proxy.requests and time.monotonic() < deadline:
                time.sleep(0.001)
            connection.sendall(SET[3:])
            assert connection.recv(100) == b""

    def test_refuse_cuts_and_refuses_until_restored_on_the_same_port(self, redis_proxy: Proxy[str]) -> None:
        port = redis_proxy.port
        with through(redis_proxy).connect() as connection:
            connection.sendall(SET)
            assert connection.recv(100) == b"+OK\r\n"
            redis_proxy.refuse()
            assert connection.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            ask(redis_proxy, GET)
        redis_proxy.restore()
        assert redis_proxy.port == port
        assert ask(redis_proxy, SET) == b"+OK\r\n"

    def test_delay_holds_replies_back(self, redis_proxy: Proxy[str]) -> None:
        redis_proxy.delay(0.3)
        started = time.monotonic()
        assert ask(redis_proxy, SET) == b"+OK\r\n"
        assert time.monotonic() - started >= 0.3

    def test_blackhole_swallows_until_restored(self, redis_proxy: Proxy[str], redis_server: RedisServer) -> None:
        redis_server.ask(b"DEL k\r\n")
        redis_proxy.blackhole()
        with through(redis_proxy).connect() as connection:
            connection.settimeout(0.1)
            connection.sendall(SET)
            with pytest.raises(TimeoutError):
                connection.recv(100)
        redis_proxy.restore()
        assert ask(redis_proxy, GET) == b"$-1\r\n"

    def test_disconnect_cuts_open_connections_once(self, redis_proxy: Proxy[str]) -> None:
        with through(redis_proxy).connect() as connection:
            connection.sendall(SET)
            assert connection.recv(100) == b"+OK\r\n"
            assert redis_proxy.open_connections == 1
            redis_proxy.disconnect()
            assert connection.recv(100) == b""
        assert ask(redis_proxy, SET) == b"+OK\r\n"
