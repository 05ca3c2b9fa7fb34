"""Connecting a socket: to the first address of a name that works, with TLS, within one time limit for all of it."""

import errno
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final

from ..deadline import Allowance
from .resolver import AddressInfo, resolve
from .sockets import BoundedSocket

_UNACKNOWLEDGED: Final = 0.5
"""The part of an answer's time after which a connection is lost if the peer has not acknowledged what was sent."""


def connect(
    address: str | tuple[str, int],
    seconds: float,
    tls: ssl.SSLContext | None = None,
    options: Iterable[tuple[Any, ...]] = (),
    answer: float = 0.0,
) -> BoundedSocket:
    """Return a socket that is connected to a host and port, or to the path of a Unix socket.

    Looking the name up, connecting to the first address that accepts, and TLS together take at most so many seconds
    (TimeoutError); socket.create_connection() would give as many to each address. The socket is bounded by what is left
    of them. ``options`` are arguments of setsockopt(), and ``answer`` is that of tcp_options().
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
    """Return the TCP options, of those that this system has, for answers that may take so many seconds.

    After a minute of silence the system probes the peer every 10 s, three times. A connection that a firewall has
    dropped is noticed while there is still time to ask again on another one.
    """
    options = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    options["TCP_USER_TIMEOUT"] = int(1000 * _UNACKNOWLEDGED * answer)  # milliseconds; 0 is the system's default
    return {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}


def is_unacknowledged(error: BaseException | None) -> bool:
    """Tell whether TCP gave the connection up (ETIMEDOUT), which Python also raises as a TimeoutError."""
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
            # Each request is one packet: Nagle's algorithm could only delay it.
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
