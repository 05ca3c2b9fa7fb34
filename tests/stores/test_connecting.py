"""Sockets that are bounded as a whole, against listeners on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_multisession.stores.connecting import connect
from django_multisession.stores.resolver import resolve

PATIENCE = 10.0


@contextmanager
def listening(family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0), backlog: int = 5) -> Iterator[Any]:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(backlog)
        yield listener.getsockname()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Names that the resolver knows, beside those of the system."""
    known: dict[str, list[Any]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *arguments: Any, **more: Any) -> Any:
        if host in known and not more.get("flags"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in known[host]]
        return real(host, port, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def test_connect_sets_keepalive_and_no_delay() -> None:
    with listening() as address:
        connected = connect(address, PATIENCE, answer=0.5)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 250
        connected.close()


def test_connect_takes_options_of_the_callers_last() -> None:
    with listening() as address:
        connected = connect(address, PATIENCE, options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)])
        assert not connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connected.close()


def test_connect_reaches_a_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with listening(socket.AF_UNIX, path):
        connect(path, PATIENCE).close()


def test_connect_tries_every_address_of_a_name(names: dict[str, list[Any]]) -> None:
    with listening() as gone:
        pass
    with listening() as there:
        names["both"] = [gone, there]
        connected = connect(("both", there[1]), PATIENCE)
        assert connected.getpeername() == there
        connected.close()


def test_connect_shares_its_time_among_addresses(names: dict[str, list[Any]]) -> None:
    with listening(backlog=0) as full, listening() as there:
        # The kernel answers no more than it has room for: the third waits in vain.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full)
        names["slow"] = [full, there]
        connected = connect(("slow", there[1]), 0.4)
        assert connected.getpeername() == there
        names["slow"] = [full]
        with pytest.raises(TimeoutError):
            connect(("slow", full[1]), 0.1)
        connected.close()
        for each in waiting:
            each.close()


def test_connect_refused_is_told() -> None:
    with listening() as gone:
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(gone, PATIENCE)


def test_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = threading.Event(), []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *arguments: Any, **more: Any) -> Any:
        if host == "hung" and not more.get("flags"):
            asked.append(host)
            assert answer.wait(PATIENCE)
            host = "127.0.0.1"
        return real(host, port, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            resolve("hung", 7, 0.01)
    assert len(asked) == 1  # whoever comes later waits for the same answer
    answer.set()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            assert resolve("hung", 7, 1)[0][4] == ("127.0.0.1", 7)
            break
        except TimeoutError:
            assert time.monotonic() < deadline


def test_resolver_that_knows_no_such_name_says_so() -> None:
    with pytest.raises(socket.gaierror):
        resolve("no.such.name.invalid", 7, PATIENCE)
