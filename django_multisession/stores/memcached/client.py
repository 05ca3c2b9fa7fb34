"""pymemcache's clients for one node, with one time limit for a whole answer; and what pymemcache's exceptions mean."""

import errno
import re
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from django.core.exceptions import ImproperlyConfigured
from pymemcache import (  # type: ignore[import-untyped]  # it ships no types
    Client,
    MemcacheClientError,
    MemcacheServerError,
    MemcacheUnknownCommandError,
    MemcacheUnknownError,
)
from pymemcache.exceptions import MemcacheUnexpectedCloseError  # type: ignore[import-untyped]  # it ships no types

from ...breaker import breaker_for
from ..base import Failure
from ..connecting import connect
from ..pools import LoopLocal, Pool
from ..sockets import BoundedSocket
from ..threads import Threads
from ..wording import LOST, NO_HOST, sentence
from .location import Settings

T = TypeVar("T")

THREADS: Final = 8
"""How many threads of an event loop may wait for one node."""


class Link:
    """The ``socket_module`` of one client, and at the same time the one socket that the client gets from it.

    pymemcache's own timeouts limit each recv() only, and it tries only the first address of a name.
    """

    def __init__(self, connect_timeout: float, read_timeout: float, tls: ssl.SSLContext | None) -> None:
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._tls = tls
        self._seconds = 0.0
        self._options: list[tuple[Any, ...]] = []
        self._hold(None)

    def _hold(self, made: BoundedSocket | None) -> None:
        self._socket = made
        self.sendall = _not_connected if made is None else made.sendall
        self.recv = _not_connected if made is None else made.recv

    def bound(self, seconds: float) -> None:
        """Let the next answer, and connecting if need be, take so many seconds together."""
        if self._socket is None:
            self._seconds = seconds
        else:
            self._socket.bound(seconds)

    # The module.

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def getaddrinfo(self, host: str, port: int, *kind: Any) -> list[tuple[Any, ...]]:
        """Return the name itself as the address: connect() resolves it."""
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 0, "", (host, port))]

    def socket(self, *kind: Any) -> "Link":
        """Return this, unconnected."""
        self._options = []
        return self

    # The socket.

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: bound() sets the limit, not pymemcache."""

    def setsockopt(self, *option: Any) -> None:
        """Keep an option for connect()."""
        self._options.append(option)

    def connect(self, address: str | tuple[str, int]) -> None:
        """See connecting.connect()."""
        limit = min(self._seconds, self._connect_timeout)
        made = connect(address, limit, self._tls, self._options, self._read_timeout)
        made.bound(self._seconds - limit + made.left())
        self._hold(made)

    def close(self) -> None:
        """See socket.close()."""
        if self._socket is not None:
            self._socket.close()
            self._hold(None)


def _not_connected(*arguments: Any) -> NoReturn:
    raise OSError(errno.ENOTCONN, "not connected")


class Connection(NamedTuple):
    """A client and its link, for one thread at a time; connected at its first command."""

    client: Client
    link: Link


class Node:
    """A server. Its name must be the same in every process, for it decides which keys the node has."""

    def __init__(self, name: str, settings: Settings, connect_timeout: float, read_timeout: float) -> None:
        self.name = name
        self.breaker = breaker_for(name)
        self._make = settings.client or Client
        self._arguments = dict(settings.arguments)
        self._tls = self._arguments.pop("tls_context", None)
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._pool: Pool[Connection] = Pool(self.connection, _close, _unharmed, settings.max_idle)
        self._pool.close_at_exit()
        self.threads: LoopLocal[Threads] = LoopLocal(lambda: Threads(THREADS, name), Threads.aclose)

    def connection(self) -> Connection:
        """Return a new connection, without I/O; ImproperlyConfigured if pymemcache refuses its arguments."""
        link = Link(self._connect_timeout, self._read_timeout, self._tls)
        try:
            client = self._make(self.name, socket_module=link, default_noreply=False, **self._arguments)
        except (TypeError, ValueError, OSError) as error:
            raise ImproperlyConfigured(
                f"MULTISESSION: pymemcache refuses OPTIONS for {self.name}: {sentence(error)}"
            ) from error
        return Connection(client, link)

    def ask(self, seconds: float, command: Callable[[Client], T]) -> Coroutine[Any, Any, T]:
        """Return ``command(client)``, on a connection of the pool, within so many seconds."""
        return self._pool.use(self._bounded, seconds, command)

    def ask_anew(self, seconds: float, command: Callable[[Client], T]) -> T:
        """Return ``command(client)``, on a new connection that is closed afterwards."""
        connection = self.connection()
        try:
            return self._bounded(connection, seconds, command)
        finally:
            _close(connection)

    def _bounded(self, connection: Connection, seconds: float, command: Callable[[Client], T]) -> T:
        connection.link.bound(seconds)
        try:
            return command(connection.client)
        except socket.gaierror as error:
            if not self.breaker.answers:
                raise
            raise ConnectionError(error.errno, "its name is not found any more") from error
        except (ValueError, KeyError, MemcacheUnknownError, MemcacheUnknownCommandError):
            # pymemcache raises ValueError for a line that it cannot read, and KeyError, with the key, for the answer to
            # another command.
            connection.client.close()
            if not self.breaker.answers:
                raise MemcacheUnknownError from None
            raise ConnectionError(errno.EPROTO, "an answer that is not in memcached's protocol") from None

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()


def _close(connection: Connection) -> None:
    connection.client.close()


def _unharmed(error: BaseException) -> bool:
    """Tell whether the client can be used on: pymemcache closes the socket after any error, and connects again."""
    return isinstance(error, MemcacheServerError) and not isinstance(error, MemcacheUnexpectedCloseError)


_NO_MEMORY: Final = (
    "SERVER_ERROR out of memory: it is full, and evicts nothing. Give it more memory (-m), or start it without -M."
)
_NO_LOGIN: Final = (
    "it asks for a login (-S or -Y), which pymemcache does not know. Start it without, or name a factory of clients "
    "that log in as OPTIONS['client']."
)
_LONG_WORD: Final = re.compile(rb"[^\s]{25,}")


def failure(error: Exception) -> tuple[Failure, str] | None:
    """Return what an exception of pymemcache, or a name that is not found, says about the server; None for others."""
    said = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
    if isinstance(error, MemcacheUnexpectedCloseError):
        return Failure.LOSS, f"{LOST}: the server closed it"
    if isinstance(error, MemcacheServerError):
        # Long words are left out: one may be a storage key.
        words = _LONG_WORD.sub(b"...", said)[:80].decode("ascii", "replace")
        return Failure.REFUSAL, _NO_MEMORY if b"out of memory" in said else f"SERVER_ERROR {words}"
    if isinstance(error, MemcacheUnknownError):
        return Failure.MISTAKE, "what answers there does not speak memcached's text protocol. Correct LOCATION."
    if isinstance(error, MemcacheClientError):
        asks_for_login = said == b"unauthenticated"
        return (Failure.MISTAKE, _NO_LOGIN) if asks_for_login else (Failure.REFUSAL, "CLIENT_ERROR")
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
        return Failure.MISTAKE, NO_HOST
    return None
