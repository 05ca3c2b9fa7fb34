"""A line over sockets that are bounded as a whole, with hiredis' reader."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from itertools import repeat

import pytest
from hiredis import Reader

from django_multisession.stores.sockets import BoundedSocket, Line

PATIENCE = 10.0


class Refused(Exception):
    """What the reader returns for a refusal."""


class Connection:
    """A connection to the other end of a pair of sockets."""

    def __init__(self, ours: socket.socket) -> None:
        self.ours = ours
        self.opened = 0

    def open(self, seconds: float) -> BoundedSocket:
        self.opened += 1
        return BoundedSocket(self.ours)

    def disconnect(self) -> None:
        self.ours.close()


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours), theirs


def line_over(connection: Connection) -> Line:
    reader = Reader(protocolError=ValueError, replyError=Refused)
    return Line(connection, reader, lambda answer: "over" in str(answer))


def test_line_connects_at_its_first_question(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    line = line_over(connection)
    opened = [connection.opened]
    for number in range(2):
        server.sendall(b":%d\r\n" % number)
        assert line.ask(b"ask", 1, PATIENCE) == [number]
        opened.append(connection.opened)
    assert opened == [0, 1, 1]
    assert server.recv(6) == b"askask"


def test_line_returns_a_refusal_in_its_place(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b":1\r\n-ERR no\r\n:3\r\n")
    first, refused, last = line_over(connection).ask(b"ask", 3, PATIENCE)
    assert (first, last) == (1, 3)
    assert isinstance(refused, Refused)


def test_line_raises_what_ends_the_connection(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b":1\r\n-over\r\n:3\r\n")
    with pytest.raises(Refused):
        line_over(connection).ask(b"ask", 3, PATIENCE)


def test_line_refuses_an_answer_that_nobody_has_asked_for(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b":1\r\n:2\r\n")
    with pytest.raises(ConnectionError, match="more answers than questions"):
        line_over(connection).ask(b"ask", 1, PATIENCE)


def test_line_that_the_server_closes_is_lost(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    server.sendall(b"$5\r\nhal")
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError, match="the server closed it"):
        line_over(connection).ask(b"ask", 1, PATIENCE)


def test_line_bounds_an_answer_in_many_pieces_as_a_whole(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    over = threading.Event()

    def trickle() -> None:
        for piece in repeat(b"x"):
            if over.wait(0.02):
                return
            server.sendall(piece)

    server.sendall(b"$1000\r\n")
    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            line_over(connection).ask(b"ask", 1, 0.2)
    finally:
        over.set()
        thread.join()


def test_line_sends_what_does_not_fit_at_once(pair: tuple[Connection, socket.socket]) -> None:
    connection, server = pair
    question = bytes(4 * 1024 * 1024)
    received = []

    def serve() -> None:
        left = len(question)
        while left:
            received.append(server.recv(left))
            left -= len(received[-1])
        server.sendall(b":1\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    assert line_over(connection).ask(question, 1, PATIENCE) == [1]
    thread.join()
    assert b"".join(received) == question


def test_line_gives_up_sending_at_the_end_of_the_time(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    with pytest.raises(TimeoutError):
        line_over(connection).ask(bytes(4 * 1024 * 1024), 1, 0.1)
