"""How a socket is connected: to any address of a name, with TLS, within a time as a whole."""

import errno
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final

from ..deadline import Allowance
from .resolver import AddressInfo, resolve
from .sockets import BoundedSocket

_UNACKNOWLEDGED: Final = 0.5
"""The part of an answer's time after which what nobody has acknowledged is a lost connection."""


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
    """Return the options of TCP that the system has, for answers that may take so many seconds.

    After a minute of silence the system probes every 10 s, three times in all. A connection that a firewall has
    forgotten is found out while there is time left to ask again on another.
    """
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
