"""Sockets that are bounded as a whole, for client libraries that bound each recv() alone, and connecting not at all."""

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from ..runtime import ALWAYS, Kept

T = TypeVar("T")
AddressInfo = tuple[int, int, int, str, Any]

KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Options of TCP, where the system has them: after a minute of silence a probe every 10 s, three in all."""
_SHORTEST: Final = 0.001
"""Seconds for a wait when no time is left: 0 would mean not to wait at all, and takes other errors."""

_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BoundedSocket:
    """Stands in for a connected socket, TLS or not; whatever is not here is the socket's own.

    bound() gives all that follows so many seconds. A server that sends a byte now and then gains nothing by it: each
    call on the socket waits for what is left only. Nor does a thread or a gevent hub that was late lose by it: past
    the end, a call looks once more, without waiting, for what lies in the socket already.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._ends_at = 0.0
        self._timeout = connected.gettimeout()
        self._is_first = True

    def bound(self, seconds: float) -> None:
        """Let what is sent and received from now on take so many seconds."""
        self._ends_at = time.monotonic() + seconds
        self._is_first = True
        if seconds != self._timeout:  # setting it costs a system call
            self._timeout = seconds
            self._socket.settimeout(seconds)

    def recv(self, *arguments: Any) -> bytes:
        """See socket.recv(); TimeoutError at the end of the time."""
        return self._within(self._socket.recv, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        """See socket.recv_into(); TimeoutError at the end of the time."""
        return self._within(self._socket.recv_into, *arguments)

    def sendall(self, *arguments: Any) -> None:
        """See socket.sendall(), which bounds itself as a whole; TimeoutError at the end of the time."""
        self._socket.sendall(*arguments)

    def settimeout(self, seconds: float | None) -> None:
        """See socket.settimeout(); bound() is what counts."""

    def _within(self, receive: Callable[..., T], *arguments: Any) -> T:
        if self._is_first:
            self._is_first = False  # its timeout is the whole
        else:
            self._timeout = max(self._ends_at - time.monotonic(), 0.0)
            self._socket.settimeout(self._timeout)
        try:
            return receive(*arguments)
        except (TimeoutError, *_NOTHING_YET):
            pass
        self._timeout = 0.0
        self._socket.settimeout(0.0)
        try:
            return receive(*arguments)
        except _NOTHING_YET:
            raise TimeoutError("no answer in time") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def connect(
    address: str | tuple[str, int],
    seconds: float,
    tls: ssl.SSLContext | None = None,
    options: Iterable[tuple[Any, ...]] = (),
) -> BoundedSocket:
    """Return a socket that is connected to a host and port, or to the path of a Unix socket.

    The name, the first address that takes the connection, and TLS share the seconds (TimeoutError after that).
    ``options`` are arguments of setsockopt(). Unlike socket.create_connection(), whose limit is for each address.
    """
    ends_at = time.monotonic() + seconds
    if isinstance(address, str):
        return BoundedSocket(_connected((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address), seconds, options))
    host, port = address
    found = resolve(host, port, seconds)
    for waiting in range(len(found), 0, -1):
        try:
            connected = _connected(found[-waiting], (ends_at - time.monotonic()) / waiting, options)
        except OSError:
            if waiting == 1:
                raise
        else:
            break
    if tls is not None:
        connected.settimeout(max(ends_at - time.monotonic(), _SHORTEST))  # the handshake's, as a whole
        connected = tls.wrap_socket(connected, server_hostname=host)
    return BoundedSocket(connected)


def _connected(info: AddressInfo, seconds: float, options: Iterable[tuple[Any, ...]]) -> socket.socket:
    family, kind, protocol, _, address = info
    made = socket.socket(family, kind, protocol)
    try:
        if family != socket.AF_UNIX:
            # One packet an exchange: nothing to gather, so Nagle's algorithm could only delay it.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in KEEPALIVE.items():
                if hasattr(socket, name):
                    made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        for option in options:
            made.setsockopt(*option)
        made.settimeout(max(seconds, _SHORTEST))
        try:
            made.connect(address)
        except TimeoutError:
            # This thread, or its hub, may have been late: once more, without waiting.
            made.settimeout(0.0)
            if made.connect_ex(address) not in (0, errno.EISCONN):
                raise
    except BaseException:
        made.close()
        raise
    return made


_lookups: Kept[dict[tuple[str, int], "Future[Sequence[AddressInfo]]"]] = Kept(dict, ALWAYS)


def resolve(host: str, port: int, seconds: float) -> Sequence[AddressInfo]:
    """Return the addresses of a host, as socket.getaddrinfo() does, within so many seconds (TimeoutError)."""
    return look_up(host, port).result(seconds)


def look_up(host: str, port: int) -> "Future[Sequence[AddressInfo]]":
    """Begin to look up the addresses of a host; whoever waits for them must not cancel the future.

    The system's resolver knows no limit of ours: it is asked on a thread, one for a name at a time.
    """
    lookup: Future[Sequence[AddressInfo]] = Future()
    try:
        lookup.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:  # a name
        pending = _lookups.value.setdefault((host, port), lookup)
        if pending is lookup:
            threading.Thread(target=_look_up, args=(host, port, lookup), daemon=True).start()
        return pending
    return lookup


def _look_up(host: str, port: int, lookup: "Future[Sequence[AddressInfo]]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001 - raised where the name was asked for
        lookup.set_exception(error)
    else:
        lookup.set_result(found)
    finally:
        _lookups.value.pop((host, port), None)
