"""A socket whose answers are bounded as a whole, for client libraries that bound each recv() alone."""

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

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
