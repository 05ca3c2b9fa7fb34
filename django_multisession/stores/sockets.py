"""Sockets that are bounded as a whole, for client libraries that bound each recv() alone, and connecting not at all.

What counts is waiting; see deadline.Allowance.
"""

import errno
import math
import os
import select
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from ..deadline import Allowance
from .resolver import AddressInfo, resolve

T = TypeVar("T")

READ: Final = 1
WRITE: Final = 2

_UNACKNOWLEDGED: Final = 0.5
"""The part of an answer's time after which what nobody has acknowledged is a lost connection."""

_SLACK: Final = 0.005
"""Seconds by which a wait may be longer than what is left."""
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BoundedSocket:
    """Stands in for a socket, TLS or not; whatever is not here is the socket's own.

    bound() gives all that follows so many seconds of waiting, be it in one piece or, if a server sends a byte now and
    then, in a thousand.
    """

    def __init__(self, bare: socket.socket) -> None:
        self._socket = bare
        self._timeout = bare.gettimeout()
        self._allowance = Allowance(0.0)
        self._is_first = True

    def bound(self, seconds: float) -> None:
        """Let what follows take so many seconds."""
        self._allowance = Allowance(seconds)
        self._is_first = True
        self._wait_for(seconds)

    def ask(self, data: bytes, seconds: float) -> None:
        """Send data, and let that and the answer to it take so many seconds."""
        self.bound(seconds)
        self.sendall(data)

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
                raise  # too many wait already
        else:
            return
        while not is_ready(self._socket.fileno(), WRITE, self.left()):
            self._allowance.go_on()
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Encrypt what follows; TimeoutError at the end of the time."""
        encrypted = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = encrypted
        self._is_first = False
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
            sent = self._socket.send(data)
        except (TimeoutError, *_NOTHING_YET):
            sent = 0
        while sent < len(data):
            self._is_first = False
            sent += self._within(self._socket.send, memoryview(data)[sent:])

    def settimeout(self, seconds: float | None) -> None:
        """See socket.settimeout(); bound() is what counts."""

    def _wait_for(self, seconds: float) -> None:
        # Setting it costs a system call: what is a little longer stays.
        if self._timeout is None or not seconds <= self._timeout <= seconds + _SLACK:
            self._set_timeout(seconds)

    def _set_timeout(self, seconds: float) -> None:
        self._timeout = seconds
        self._socket.settimeout(seconds)

    def _within(self, ask: Callable[..., T], *arguments: Any) -> T:
        if self._is_first:
            self._is_first = False  # its timeout is the whole
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


if hasattr(select, "poll"):

    def is_ready(descriptor: int, events: int, seconds: float) -> bool:
        """Tell whether a descriptor can be read from or written to (READ, WRITE) after so many seconds at most."""
        # Looked up at each call: gevent replaces it.
        poll = select.poll()
        poll.register(descriptor, (select.POLLIN if events & READ else 0) | (select.POLLOUT if events & WRITE else 0))
        return bool(poll.poll(math.ceil(seconds * 1000)))

else:

    def is_ready(descriptor: int, events: int, seconds: float) -> bool:
        """Tell whether a descriptor can be read from or written to (READ, WRITE) after so many seconds at most."""
        waited = [descriptor] if events & READ else [], [descriptor] if events & WRITE else []
        return any(select.select(*waited, [], seconds))


def connect(
    address: str | tuple[str, int],
    seconds: float,
    tls: ssl.SSLContext | None = None,
    options: Iterable[tuple[Any, ...]] = (),
    answer: float = 0.0,
) -> BoundedSocket:
    """Return a socket that is connected to a host and port, or to the path of a Unix socket.

    The name, the first address that takes the connection, and TLS share the seconds (TimeoutError after that), and the
    socket is bounded by what is left of them. ``options`` are arguments of setsockopt(); ``answer`` is the
    time of one, see tcp_options(). Unlike socket.create_connection(), whose limit is for each address.
    """
    allowance = Allowance(seconds)
    if isinstance(address, str):
        return _connected((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address), seconds, None, options)
    options = [*((socket.IPPROTO_TCP, *option) for option in tcp_options(answer).items()), *options]
    encryption = (tls, address[0]) if tls is not None else None
    *others, last = resolve(*address, seconds)
    for number, info in enumerate(others):
        try:
            return _connected(info, allowance.left() / (len(others) + 1 - number), encryption, options)
        except OSError:
            continue
    return _connected(last, allowance.left(), encryption, options)


def tcp_options(answer: float) -> dict[int, int]:
    """Return options of TCP that the system has: after a minute of silence a probe every 10 s, three in all; and what a
    firewall has forgotten is found out while an answer, which may take so many seconds, can still come anew."""
    options = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    options["TCP_USER_TIMEOUT"] = int(1000 * _UNACKNOWLEDGED * answer)  # 0 is the system's own
    return {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}


def is_unacknowledged(error: BaseException | None) -> bool:
    """Tell whether an exception comes of TCP's own giving up, which Python takes for a time limit's end."""
    while error is not None and not (isinstance(error, OSError) and error.errno == errno.ETIMEDOUT):
        error = error.__cause__ or error.__context__
    return error is not None


def _connected(
    info: AddressInfo, seconds: float, encryption: tuple[ssl.SSLContext, str] | None, options: Iterable[tuple[Any, ...]]
) -> BoundedSocket:
    family, kind, protocol, _, address = info
    made = BoundedSocket(socket.socket(family, kind, protocol))
    try:
        if family != socket.AF_UNIX:
            # One packet an exchange: nothing to gather, so Nagle's algorithm could only delay it.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in options:
            made.setsockopt(*option)
        made.bound(seconds)
        made.connect(address)
        if encryption is not None:
            made.start_tls(*encryption)
    except BaseException:
        made.close()
        raise
    return made
