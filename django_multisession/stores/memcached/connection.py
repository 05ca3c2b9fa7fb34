"""One connection to a memcached node, and the commands of the store in the classic text protocol.

pymemcache connects (names, Unix sockets, TLS, keepalive) and knows what a server says of itself. What every request
needs is spoken here: its own commands check, copy and join for many keys and any type, and take longer than
all that this package does around them. The protocol is memcached's doc/protocol.txt.
"""

from pymemcache import (  # type: ignore[import-untyped]  # it ships no types
    Client,
    MemcacheUnknownError,
)
from pymemcache.exceptions import MemcacheUnexpectedCloseError  # type: ignore[import-untyped]

from ...exceptions import SessionTooLarge

_AT_ONCE = 65536
_TOO_LARGE = b"SERVER_ERROR object too large for cache"
_VALUES_END = b"\r\nEND\r\n"
_NOT_IN_THE_PROTOCOL = "an answer that is not in the protocol"


class Connection(Client):  # type: ignore[misc]  # of a library without types
    """For one thread at a time; connects at its first command. After an exception it must be closed.

    Raises pymemcache's exceptions for what the server refuses, SessionTooLarge for what is too large for it, and
    OSError where it cannot be asked.
    """

    def fetch(self, address: bytes) -> tuple[bytes, bytes] | None:
        """Return the value under an address and its cas token, None if there is none."""
        answer = self._exchange(b"gets %b\r\n" % address)
        if answer == b"END\r\n":
            return None
        if not answer.startswith(b"VALUE "):
            raise self._refusal(answer)
        # VALUE <address> <flags> <bytes> <cas>
        end = answer.index(b"\r\n")
        try:
            _, found, _, size, token = answer[:end].split(b" ")
            start, stop = end + 2, end + 2 + int(size)
        except ValueError:
            raise MemcacheUnknownError(_NOT_IN_THE_PROTOCOL) from None
        if found != address or stop < start:
            raise MemcacheUnknownError("an answer to something else")
        if len(answer) < stop + len(_VALUES_END):
            answer = self._filled(answer, stop + len(_VALUES_END))
        if answer[stop:] != _VALUES_END:
            raise MemcacheUnknownError("more than was asked for")
        return answer[start:stop], token

    def insert(self, address: bytes, payload: bytes, expire: int) -> bool:
        """Store payload if the address is free; tell whether it was."""
        answer = self._exchange(b"add %b 0 %d %d\r\n%b\r\n" % (address, expire, len(payload), payload))
        return self._told(answer, b"STORED\r\n", b"NOT_STORED\r\n")

    def swap(self, address: bytes, payload: bytes, expire: int, token: bytes) -> bool:
        """Replace what is still at a cas token; tell whether it was."""
        answer = self._exchange(b"cas %b 0 %d %d %b\r\n%b\r\n" % (address, expire, len(payload), token, payload))
        return self._told(answer, b"STORED\r\n", b"EXISTS\r\n", b"NOT_FOUND\r\n")

    def remove(self, address: bytes) -> bool:
        """Delete what is under an address; tell whether there was something."""
        return self._told(self._exchange(b"delete %b\r\n" % address), b"DELETED\r\n", b"NOT_FOUND\r\n")

    def _exchange(self, request: bytes) -> bytes:
        """Send a request; return its answer up to the end of a line at least."""
        if self.sock is None:
            self._connect()
        self.sock.sendall(request)
        answer: bytes = self.sock.recv(_AT_ONCE)
        while b"\r\n" not in answer:
            answer += self._more()
        return answer

    def _more(self) -> bytes:
        received: bytes = self.sock.recv(_AT_ONCE)
        if not received:
            raise MemcacheUnexpectedCloseError
        return received

    def _filled(self, answer: bytes, length: int) -> bytes:
        pieces, missing = [answer], length - len(answer)
        while missing > 0:
            pieces.append(self._more())
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def _told(self, answer: bytes, yes: bytes, *no: bytes) -> bool:
        if answer == yes:
            return True
        if answer in no:
            return False
        raise self._refusal(answer)

    def _refusal(self, answer: bytes) -> Exception:
        """Return, or raise, what an answer that is no success means."""
        if answer.startswith(_TOO_LARGE):
            return SessionTooLarge("the server takes no items of this size")
        # Raises itself for ERROR, CLIENT_ERROR and SERVER_ERROR.
        self._raise_errors(answer.partition(b"\r\n")[0], b"")
        # The server's words may hold a key: they stay out of the message.
        unknown: Exception = MemcacheUnknownError(_NOT_IN_THE_PROTOCOL)
        return unknown
