"""Write a record: only at the expected token, and to as many replicas as OPTIONS["wait"] asks for.

A swap is ``SET … IFEQ`` where the server knows that (Redis 8.4, Valkey 8.1); elsewhere, and for large records, it is a
script that compares the version. A delete at a token is ``DELEX`` (Redis 8.4), ``DELIFEQ`` (Valkey 9) or a script
(decisions.md, D26).

The version number of a managed service or a fork does not tell which commands it knows. So a command is tried, and
after a refusal not again for LACK_TTL seconds; by then a failover may have led to a server that knows it.
"""

from collections.abc import Awaitable, Sequence
from hashlib import sha1
from typing import Any, Final

import redis

from ...breaker import warn
from ...envelope import VERSION, is_session
from ...runtime import monotonic
from .failures import Command, answered, code_of, failure
from .server import Server

LACK_TTL: Final = 10.0
"""Seconds for which a command that a server has refused is not tried again."""

LARGE: Final = 16 * 1024
"""Bytes above which a record goes over a connection of its own, so that no small one waits behind it."""

_VERSION_LENGTH: Final = VERSION.stop - VERSION.start
_DELETES: Final = (("DELEX", "IFEQ"), ("DELIFEQ",))
"""Redis' command that compares before it deletes, and Valkey's."""


class _Script:
    """A Lua script, called by its digest; a server forgets it when it restarts, or another takes over."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()


# GETRANGE and not GET, so that the script copies 8 bytes and not the record; of an absent key it returns none.
_AT_VERSION = f"redis.call('GETRANGE', KEYS[1], {VERSION.start}, {VERSION.stop - 1}) == ARGV[1]"
_REPLACE = _Script(
    f"if not ({_AT_VERSION}) then return 0 end redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1"
)
_DELETE = _Script(f"if {_AT_VERSION} then return redis.call('DEL', KEYS[1]) end return 0")


class Writes:
    """Writes to a server. ``seconds`` limit each answer as a whole; ``alone`` is for large records."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lacking: dict[tuple[object, str], float] = {}

    def write(self, seconds: float, command: Command, alone: bool) -> Awaitable[Any]:
        """Return the answer to a command that begins or ends a session."""
        return self._send(seconds, command, alone, durable=True)

    async def write_all(self, seconds: float, commands: list[Command]) -> list[Any]:
        """Return the answers to commands that begin sessions."""
        return [answered(answer) for answer in await self._send_all(seconds, commands, alone=True, durable=True)]

    async def delete_all(self, seconds: float, addresses: Sequence[str]) -> int:
        """Delete the records of a page of addresses; return how many there were."""
        commands = self._server.deletes(addresses)
        answers = await self._send_all(seconds, commands, len(addresses) > 1, durable=True)
        return sum(answered(answer) for answer in answers)

    async def replace(self, seconds: float, address: str, payload: bytes, ttl: int, expected: bytes) -> Any:
        """Replace a record at a token; return something truthy if it was there."""
        alone = len(payload) > LARGE
        # A tombstone or a pointer ends a session.
        durable = bool(self._server.wait) and not is_session(payload)
        server = self._node_of(address)
        if len(expected) > _VERSION_LENGTH and self._knows(server, "IFEQ"):
            command: Command = ("SET", address, payload, "IFEQ", expected, "EX", ttl)
            try:
                return await self._send(seconds, command, alone, durable)
            except redis.ResponseError as refused:
                self._note_lack(server, "IFEQ", refused)
        return await self._run(
            seconds, _REPLACE, address, (_version(expected), payload, ttl), alone=alone, durable=durable
        )

    async def delete(self, seconds: float, address: str, expected: bytes) -> Any:
        """Delete a record at a token; return something truthy if it was there."""
        server = self._node_of(address)
        for name, *comparison in _DELETES if len(expected) > _VERSION_LENGTH else ():
            if self._knows(server, name):
                command: Command = (name, address, *comparison, expected)
                try:
                    return await self._send(seconds, command, alone=False, durable=True)
                except redis.ResponseError as refused:
                    self._note_lack(server, name, refused)
        return await self._run(seconds, _DELETE, address, (_version(expected),), alone=False, durable=True)

    async def _run(
        self, seconds: float, script: _Script, address: str, arguments: Command, *, alone: bool, durable: bool
    ) -> Any:
        started = monotonic()
        try:
            return await self._send(seconds, ("EVALSHA", script.digest, 1, address, *arguments), alone, durable)
        except redis.exceptions.NoScriptError:
            left = max(seconds - (monotonic() - started), 0.001)
        return await self._send(left, ("EVAL", script.source, 1, address, *arguments), alone, durable)

    async def _send(self, seconds: float, command: Command, alone: bool, durable: bool) -> Any:
        """Return the answer to a command; raise a refusal. See _send_all()."""
        if not (durable and self._server.wait):
            return await self._server.answer(seconds, command, alone)
        [answer] = await self._send_all(seconds, [command], alone, durable)
        return answered(answer)

    async def _send_all(self, seconds: float, commands: list[Command], alone: bool, durable: bool) -> list[Any]:
        """Return the answers to commands, refusals among them.

        A ``durable`` write, which begins or ends a session, waits for as many replicas as OPTIONS["wait"] says. WAIT
        goes over the connection that wrote: on any other it would wait for nothing.
        """
        replicas = self._server.wait if durable else 0
        if not replicas:
            return await self._server.ask(seconds, commands, alone)
        milliseconds = max(int(seconds * 800), 1)  # less than the limit, so that the answer arrives in time
        *answers, reached = await self._server.ask(seconds, [*commands, ("WAIT", replicas, milliseconds)], True)
        if isinstance(reached, Exception) or reached < replicas:
            self._report(reached, replicas)
        return answers

    def _node_of(self, address: str) -> object:
        return self._server.node_of(address) if self._server.is_divided else None

    def _knows(self, server: object, command: str) -> bool:
        """Tell whether a command is worth a try."""
        since = self._lacking.get((server, command))
        return since is None or monotonic() - since > LACK_TTL

    def _note_lack(self, server: object, command: str, refused: redis.ResponseError) -> None:
        """Remember that a server lacks a command, or forbids it; raise a refusal that says something else."""
        text = str(refused)
        if code_of(refused) != "NOPERM" and "unknown command" not in text and "syntax error" not in text:
            raise refused
        self._lacking[server, command] = monotonic()

    def _report(self, reached: Any, replicas: int) -> None:
        """Log, at most once a second, that too few replicas have confirmed a write, which counts all the same."""
        refused = failure(reached) if isinstance(reached, Exception) else None
        warn(
            "The session store at %s was to hand a write to %d replicas (OPTIONS['wait']): %s. The write stands, and a "
            "failover may undo it.",
            self._server.name,
            replicas,
            refused[1] if refused else f"{reached} had it in time",
        )


def _version(token: bytes) -> bytes:
    return token if len(token) == _VERSION_LENGTH else token[VERSION]
