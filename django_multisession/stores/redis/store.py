"""Records in Redis or Valkey: the value is the envelope itself.

A swap is ``SET … IFEQ`` where the server knows it (Redis 8.4, Valkey 8.1), and a script on the version elsewhere and
for large records. A record's version is the envelope's, followed by the rest of a record that is small enough for that.

The key on the server is ``{KEY_PREFIX}:dms:{storage key}``; without a prefix ``dms:{storage key}``.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from hashlib import sha1
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from ...bridge import native_loop
from ...envelope import VERSION
from ..base import Inspection, Record, Store, StoreOptions
from ..pools import FreeList, LoopLocal
from .diagnosis import inspection
from .location import checked, literal, named, parsed

try:
    import redis
    import redis.asyncio.connection
    import redis.connection
    from hiredis import pack_command

    from .pipe import Line
except ImportError as error:
    raise ImproperlyConfigured('The redis engine needs redis-py: pip install "django_multisession[redis]".') from error

_PAGE = 1000
_COMPARED = 4096
"""Bytes of the largest record that is compared as a whole, and so crosses the wire once more. The script sends 8 bytes
instead, but costs the server more than a few thousand others do."""
_VERSION_LENGTH = VERSION.stop - VERSION.start


def _none(refusal: Exception) -> bool:
    return False


def _any(refusal: Exception) -> bool:
    return True


def _no_script(refusal: Exception) -> bool:
    return isinstance(refusal, redis.exceptions.NoScriptError)


def _no_ifeq(refusal: Exception) -> bool:
    return "syntax error" in str(refusal)


# Client options that would break a promise of the store, and why; a URL's query can hold them too.
_REFUSED = {
    "connection_class": "LOCATION sets it",
    "decode_responses": "a payload is bytes",
    "max_connections": "an event loop has one, and threads no more than calls at the same time",
    "protocol": "the store speaks RESP2",
    "retry": "a repeated swap would report a conflict with itself",
    "retry_on_error": "a repeated swap would report a conflict with itself",
    "retry_on_timeout": "a repeated swap would report a conflict with itself",
    "socket_connect_timeout": "TIMEOUT sets it",
    "socket_timeout": "TIMEOUT sets it",
}


_Expected = Callable[[Exception], bool]
"""Which refusals of a command are answers; any other is raised."""


class _Script:
    """A Lua script, called by its digest; the server forgets it when it restarts or fails over."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()


# GETRANGE and not GET: the script copies 8 bytes, not the record. An absent key has none.
_AT_VERSION = f"redis.call('GETRANGE', KEYS[1], {VERSION.start}, {VERSION.stop - 1}) == ARGV[1]"
_REPLACE = _Script(
    f"if not ({_AT_VERSION}) then return 0 end redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1"
)
_DELETE = _Script(f"if {_AT_VERSION} then return redis.call('DEL', KEYS[1]) end return 0")
_EXISTS = _Script(
    "local found = {} for i, key in ipairs(KEYS) do found[i] = redis.call('EXISTS', key) end return found"
)


class RedisStore(Store):
    """A Redis server, reached through redis-py's connections.

    They are driven directly: redis-py's client object adds a retry loop, a lock and metrics to
    every command, half of the time of a GET. An event loop has one, which its tasks share.
    """

    scannable = True
    outages: ClassVar[tuple[type[BaseException], ...]] = (redis.RedisError, OSError)
    timeouts: ClassVar[tuple[type[BaseException], ...]] = (redis.TimeoutError, TimeoutError)

    def __init__(self, options: StoreOptions) -> None:
        location = checked(options.location)
        self._connection_class, url_settings = parsed(location, redis.connection)
        self._async_connection_class, _ = parsed(location, redis.asyncio.connection)
        self._name = named(location, url_settings)
        settings = {**options.options, **url_settings}
        for refused in sorted(settings.keys() & _REFUSED):
            raise ImproperlyConfigured(
                f"MULTISESSION: OPTIONS or LOCATION of {self._name} set {refused!r}, which is not "
                f"allowed: {_REFUSED[refused]}."
            )
        self._settings = settings | {
            "protocol": 2,
            "driver_info": None,  # no CLIENT SETINFO: two round trips a connection
            "socket_connect_timeout": options.connect_timeout,
        }
        super().__init__(options)
        self._head = f"{options.prefix}:dms:" if options.prefix else "dms:"
        self._free = FreeList(self._connection, lambda connection: connection.disconnect())
        # Until the server says otherwise, at the first swap.
        self._knows_ifeq = True
        self._lines = LoopLocal(
            lambda: Line(self._name, self._async_connection, options.connect_timeout, options.read_timeout), Line.close
        )
        try:
            # Connections connect at their first command; here they only check their arguments.
            self._connection()
            self._async_connection()
        except (TypeError, ValueError, redis.RedisError) as error:
            raise ImproperlyConfigured(
                f"MULTISESSION: redis-py refuses OPTIONS or LOCATION of {self._name}: {error}."
            ) from error

    @property
    def name(self) -> str:
        return self._name

    def address(self, key: str) -> str:
        """Return the key on the server."""
        return self._head + key

    # Connections.

    def _connection(self) -> Any:
        settings = self._settings | {"socket_timeout": self.options.read_timeout}
        return self._connection_class(**settings)

    def _async_connection(self) -> Any:
        # The line bounds connecting as a whole.
        return self._async_connection_class(**self._settings, socket_timeout=None)

    def _bound(self, connection: Any, seconds: float) -> None:
        """Let what follows take so many seconds at most, connecting included."""
        if not connection.is_connected:
            started = time.monotonic()
            connection.socket_timeout = seconds
            connection.socket_connect_timeout = min(seconds, self.options.connect_timeout)
            connection.connect()
            seconds = max(seconds - (time.monotonic() - started), 0.001)
        connection.socket_timeout = seconds
        connection.update_current_socket_timeout(seconds)

    # Commands.

    def _exchange(self, connection: Any, packed: bytes, seconds: float, expected: _Expected) -> Any:
        """Send a packed command on a synchronous connection; return its answer, or a refusal that is expected."""
        usual = self.call_timeout
        bounded = seconds < usual or not connection.is_connected
        if bounded:
            self._bound(connection, seconds)
        connection.send_packed_command([packed])
        try:
            answer = connection.read_response()
        except redis.ResponseError as refusal:
            if not expected(refusal):
                raise
            answer = refusal
        if bounded:
            self._bound(connection, usual)
        return answer

    async def _ask(self, command: tuple[str | bytes | int, ...], seconds: float, expected: _Expected) -> Any:
        loop = native_loop()
        if loop is None:
            return self._free.call(self._exchange, _packed(command), seconds, expected)
        line = self._lines.get(loop)
        answer = await line.ask(_packed(command), loop.time() + seconds)
        if isinstance(answer, Exception) and not expected(answer):
            # It may be the server: one that has become a replica keeps its connections, and refuses every write.
            line.renew()
            raise answer
        return answer

    async def _call(self, *command: str | bytes | int, expected: _Expected = _none) -> Any:
        """Send a command and return its answer, or a refusal that is expected."""
        with self.guard() as seconds:
            return await self._ask(command, seconds, expected)

    async def _run(self, script: _Script, keys: list[str], *arguments: bytes | int) -> Any:
        rest = (len(keys), *keys, *arguments)
        with self.guard() as seconds:
            answer = await self._ask(("EVALSHA", script.digest, *rest), seconds, _no_script)
            if isinstance(answer, Exception):
                # Within the same call: as the breaker's probe, a second one would be refused.
                answer = await self._ask(("EVAL", script.source, *rest), seconds, _none)
            return answer

    # The contract.

    async def read(self, key: str) -> Record | None:
        payload = await self._call("GET", self.address(key))
        return None if payload is None else Record(payload, self._with_rest(payload[VERSION], payload))

    def _with_rest(self, version: bytes, payload: bytes) -> bytes:
        if self._knows_ifeq and VERSION.stop <= len(payload) <= _COMPARED:
            return version + payload[VERSION.stop :] + payload[: VERSION.start]
        return version

    async def insert(self, key: str, payload: bytes, ttl: int, version: bytes) -> bytes | None:
        answer = await self._call("SET", self.address(key), payload, "NX", "EX", ttl)
        return None if answer is None else self._with_rest(version, payload)

    async def replace(self, key: str, payload: bytes, ttl: int, expected: bytes, version: bytes) -> bytes | None:
        if self._knows_ifeq and len(expected) > _VERSION_LENGTH:
            stored = expected[-VERSION.start :] + expected[: -VERSION.start]
            command = "SET", self.address(key), payload, "IFEQ", stored, "EX", ttl
            answer = await self._call(*command, expected=_no_ifeq)
            if not isinstance(answer, Exception):
                return None if answer is None else self._with_rest(version, payload)
            self._knows_ifeq = False
        swapped = await self._run(_REPLACE, [self.address(key)], expected[:_VERSION_LENGTH], payload, ttl)
        return self._with_rest(version, payload) if swapped else None

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        if expected is None:
            return bool(await self._call("DEL", self.address(key)))
        return bool(await self._run(_DELETE, [self.address(key)], expected[:_VERSION_LENGTH]))

    async def delete_many(self, keys: Iterable[str]) -> int:
        addresses = [self.address(key) for key in keys]
        return await self._call("DEL", *addresses) if addresses else 0

    async def exists(self, keys: Iterable[str]) -> set[str]:
        keys = list(keys)
        if not keys:
            return set()
        found = await self._run(_EXISTS, [self.address(key) for key in keys])
        return {key for key, live in zip(keys, found, strict=True) if live}

    async def scan(self) -> AsyncIterator[str]:
        """Yield the keys of all live records; one may come twice if the server is resizing."""
        # 40 wildcards and not *: "dms:*" would take "dms:dms:…" too, which is of the prefix "dms".
        pattern = literal(self._head) + "?" * 40
        skipped = len(self._head.encode())
        cursor = b"0"
        while True:
            cursor, page = await self._call("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE)
            for address in page:
                yield address[skipped:].decode()
            if cursor == b"0":
                return

    async def inspect(self) -> Inspection:
        info = await self._call("INFO")
        clock = await self._call("TIME")
        snapshots = await self._call("CONFIG", "GET", "save", expected=_any)
        return inspection(info, clock, None if isinstance(snapshots, Exception) else snapshots)

    def close(self) -> None:
        self._free.close()


def _packed(command: tuple[str | bytes | int, ...]) -> bytes:
    # Not by redis-py, which looks at every argument first: that takes it as long as all else that it does.
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # hiredis' types allow tuples of one only
    return packed
