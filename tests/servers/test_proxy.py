"""The proxy counts what passes and breaks it as told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer

SET = b"SET k v\r\n"
GET = b"GET k\r\n"


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


def test_proxy_forwards_and_counts(redis_proxy: Proxy[str]) -> None:
    assert ask(redis_proxy, SET) == b"+OK\r\n"
    assert (redis_proxy.connections, redis_proxy.requests) == (1, 1)
    assert (redis_proxy.bytes_sent, redis_proxy.bytes_received) == (len(SET), 5)
    assert redis_proxy.location == f"redis://127.0.0.1:{redis_proxy.port}/0"
    redis_proxy.reset()
    assert (redis_proxy.connections, redis_proxy.bytes_received) == (0, 0)


def test_proxy_cut_reply_loses_the_reply_to_a_request_that_was_carried_out(
    redis_proxy: Proxy[str], redis_server: RedisServer
) -> None:
    redis_server.ask(b"DEL k\r\n")
    happened = redis_proxy.cut_reply(after=b"SET k")
    assert ask(redis_proxy, GET) == b"$-1\r\n"
    assert not happened.is_set()
    assert ask(redis_proxy, SET) == b""
    assert happened.is_set()
    assert ask(redis_proxy, GET) == b"$1\r\nv\r\n"


def test_proxy_cut_reply_recognises_a_request_sent_in_parts(redis_proxy: Proxy[str]) -> None:
    redis_proxy.cut_reply(after=b"SET k")
    with through(redis_proxy).connect() as connection:
        connection.sendall(SET[:3])
        deadline = time.monotonic() + 5
        while not redis_proxy.requests and time.monotonic() < deadline:
            time.sleep(0.001)
        connection.sendall(SET[3:])
        assert connection.recv(100) == b""


def test_proxy_refuse_cuts_and_refuses_until_restored_on_the_same_port(redis_proxy: Proxy[str]) -> None:
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


def test_proxy_delay_holds_replies_back(redis_proxy: Proxy[str]) -> None:
    redis_proxy.delay(0.3)
    started = time.monotonic()
    assert ask(redis_proxy, SET) == b"+OK\r\n"
    assert time.monotonic() - started >= 0.3


def test_proxy_blackhole_swallows_until_restored(redis_proxy: Proxy[str], redis_server: RedisServer) -> None:
    redis_server.ask(b"DEL k\r\n")
    redis_proxy.blackhole()
    with through(redis_proxy).connect() as connection:
        connection.settimeout(0.1)
        connection.sendall(SET)
        with pytest.raises(TimeoutError):
            connection.recv(100)
    redis_proxy.restore()
    assert ask(redis_proxy, GET) == b"$-1\r\n"


def test_proxy_disconnect_cuts_open_connections_once(redis_proxy: Proxy[str]) -> None:
    with through(redis_proxy).connect() as connection:
        connection.sendall(SET)
        assert connection.recv(100) == b"+OK\r\n"
        assert redis_proxy.open_connections == 1
        redis_proxy.disconnect()
        assert connection.recv(100) == b""
    assert ask(redis_proxy, SET) == b"+OK\r\n"
