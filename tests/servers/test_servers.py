"""The test servers do what the other tests rely on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from django_multisession.testing.servers.base import Server, ServerError, free_port
from django_multisession.testing.servers.mariadb import MariaDBServer
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.pgbouncer import PgBouncerServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import (
    NewestRedisServer,
    OlderValkeyServer,
    RedisServer,
    ValkeyServer,
)
from tests.conftest import serve

KINDS = [
    RedisServer,
    NewestRedisServer,
    ValkeyServer,
    OlderValkeyServer,
    MemcachedServer,
    PostgreSQLServer,
    PgBouncerServer,
    MariaDBServer,
    MongoDBServer,
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server[Any]]:
    # Of its own: these tests restart it.
    yield from serve(request.param)


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


def test_pgbouncer_lends_a_connection_for_a_transaction(pgbouncer_server: PgBouncerServer) -> None:
    psycopg = pytest.importorskip("psycopg")
    with PgBouncerServer("default_pool_size=1", upstream=pgbouncer_server.upstream) as pooler:
        with (
            psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as first,
            psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as second,
        ):
            backends = [connection.execute("SELECT pg_backend_pid()").fetchone() for connection in (first, second)]
        assert backends[0] == backends[1]
        assert pgbouncer_server.upstream.answers()
    assert pgbouncer_server.upstream.answers()


def test_mariadb_lets_its_user_keep_tables_and_make_test_databases(mariadb_server: MariaDBServer) -> None:
    mysql = pytest.importorskip("MySQLdb")
    entry = mariadb_server.location
    connection = mysql.connect(
        host=entry["HOST"], port=int(entry["PORT"]), user=entry["USER"], password=entry["PASSWORD"], db=entry["NAME"]
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE servers (k VARCHAR(10))")
        cursor.execute("DROP TABLE servers")
        cursor.execute("CREATE DATABASE test_servers")
        cursor.execute("DROP DATABASE test_servers")


@pytest.mark.usefixtures("redis_server")  # says when there is none
def test_server_whose_port_another_one_has_taken_starts_on_a_new_one(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([redis_server.port, free_port()])
    monkeypatch.setattr("django_multisession.testing.servers.base.free_port", lambda: next(ports))
    with RedisServer() as server:
        assert server.port != redis_server.port
        assert server.answers()


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
