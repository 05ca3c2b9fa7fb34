"""Sockets with one time limit for a whole exchange, for client libraries that limit each recv() only.

Only waiting counts; see deadline.Allowance.
"""

import errno
import math
import os
import select
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from ..deadline import Allowance
from ..runtime import monotonic

T = TypeVar("T")

READ: Final = 1
WRITE: Final = 2

_SLACK: Final = 0.005
"""Seconds by which a socket's timeout may exceed what is left, before it is set anew."""
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SIZE: Final = 64 * 1024
"""The most bytes that are received at a time."""


class BoundedSocket:
    """Wraps a socket, TLS or not; attributes that are not defined here are the socket's own.

    bound() limits the waiting in all calls that follow together, however many there are: a server may send one byte now
    and then.
    """

    def __init__(self, bare: socket.socket) -> None:
        self._socket = bare
        self._is_plain = os.name == "posix" and not isinstance(bare, ssl.SSLSocket)
        self._timeout = -1.0  # not known
        self._allowance = Allowance(0.0)
        self._is_first = True

    def bound(self, seconds: float) -> None:
        """Let the calls that follow wait so many seconds in all."""
        self._allowance = Allowance(seconds)
        self._is_first = True
        self._wait_for(seconds)

    def left(self) -> float:
        """Return how many seconds are left."""
        return self._allowance.left()

    def connect(self, address: Any) -> None:
        """See socket.connect(); TimeoutError at the end of the time."""
        self._is_first = False
        self._set_timeout(0.0)
        try:
            self._socket.connect(address)
        except BlockingIOError:
            if self._socket.family == socket.AF_UNIX:
                raise  # the server's queue of connections is full
        else:
            return
        while not is_ready(self._socket.fileno(), WRITE, self.left()):
            self._allowance.go_on()
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Encrypt what follows, checking the certificate for a host name; TimeoutError at the end of the time."""
        encrypted = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = encrypted
        self._is_plain = self._is_first = False
        self._within(encrypted.do_handshake)

    def recv(self, *arguments: Any) -> bytes:
        """See socket.recv(); TimeoutError at the end of the time."""
        return self._within(self._socket.recv, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        """See socket.recv_into(); TimeoutError at the end of the time."""
        return self._within(self._socket.recv_into, *arguments)

    def sendall(self, data: bytes) -> None:
        """See socket.sendall(); TimeoutError at the end of the time."""
        try:
            # send() would first wait until the socket can be written to, which it nearly always can.
            sent = os.write(self._socket.fileno(), data) if self._is_plain else self._socket.send(data)
        except (TimeoutError, *_NOTHING_YET):
            sent = 0
        while sent < len(data):
            self._is_first = False
            sent += self._within(self._socket.send, memoryview(data)[sent:])

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: bound() sets the limit, not the client library."""

    def _wait_for(self, seconds: float) -> None:
        # Setting it is a system call, so one that is a little longer is kept.
        if not seconds <= self._timeout <= seconds + _SLACK:
            self._set_timeout(seconds)

    def _set_timeout(self, seconds: float) -> None:
        self._timeout = seconds
        self._socket.settimeout(seconds)

    def _within(self, ask: Callable[..., T], *arguments: Any) -> T:
        if self._is_first:
            self._is_first = False  # bound() has set the timeout
        else:
            self._wait_for(self._allowance.left())
        while True:
            try:
                return ask(*arguments)
            except (TimeoutError, *_NOTHING_YET):
                self._allowance.go_on()
            self._wait_for(self._allowance.left())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Opened(Protocol):
    """A client library's connection with a BoundedSocket."""

    def open(self, seconds: float) -> BoundedSocket:
        """Connect within so many seconds as a whole; return the socket."""

    def disconnect(self) -> None:
        """Close it, open or not."""


class Reader(Protocol):
    """Finds the answers in what has been received, such as hiredis.Reader."""

    def feed(self, received: bytes, /) -> object:
        """Take what has been received."""

    def gets(self) -> Any:
        """Return the next answer, or False if it has not arrived completely."""


class Line:
    """A connection on which one thread at a time sends commands and reads answers; it connects at its first use.

    ``is_over`` tells whether an exception, which the reader returns in place of an answer, ends the connection.
    """

    def __init__(self, connection: Opened, reader: Reader, is_over: Callable[[Exception], bool]) -> None:
        self._connection = connection
        self._reader = reader
        self._is_over = is_over
        self._socket: BoundedSocket | None = None

    def ask(self, data: bytes, count: int, seconds: float) -> list[Any]:
        """Send data, and return ``count`` answers that arrive within so many seconds in all.

        An answer that ends the connection is raised.
        """
        bounded = self._socket
        if bounded is None:
            started = monotonic()
            bounded = self._socket = self._connection.open(seconds)
            seconds = max(seconds - (monotonic() - started), 0.001)
        bounded.bound(seconds)
        bounded.sendall(data)
        reader = self._reader
        answers: list[Any] = []
        while len(answers) < count:
            received = bounded.recv(_SIZE)
            if not received:
                raise ConnectionResetError(errno.ECONNRESET, "the server closed it")
            reader.feed(received)
            while (answer := reader.gets()) is not False:
                if isinstance(answer, Exception) and self._is_over(answer):
                    raise answer
                answers.append(answer)
        if len(answers) > count:
            raise ConnectionError(errno.EPROTO, "more answers than questions")
        return answers

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()


if hasattr(select, "poll"):

    def is_ready(descriptor: int, events: int, seconds: float) -> bool:
        """Tell whether a descriptor can be read from or written to (READ, WRITE) after so many seconds at most."""
        # Not at import: gevent replaces it.
        poll = select.poll()
        poll.register(descriptor, (select.POLLIN if events & READ else 0) | (select.POLLOUT if events & WRITE else 0))
        return bool(poll.poll(math.ceil(seconds * 1000)))

else:

    def is_ready(descriptor: int, events: int, seconds: float) -> bool:
        """Tell whether a descriptor can be read from or written to (READ, WRITE) after so many seconds at most."""
        waited = [descriptor] if events & READ else [], [descriptor] if events & WRITE else []
        return any(select.select(*waited, [], seconds))
