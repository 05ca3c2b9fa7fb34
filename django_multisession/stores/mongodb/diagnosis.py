"""What PyMongo's exceptions say about the server; and the inspection of a server."""

import datetime
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)

from ..base import Failure, Inspection
from ..wording import LOST, NO_ANSWER, NO_HOST

# The server's codes, by src/mongo/base/error_codes.yml.
_LOSSES: Final = frozenset(
    {
        6,  # HostUnreachable; like the next two, mongos says this of a shard
        7,  # HostNotFound
        89,  # NetworkTimeout
        9001,  # SocketException
        91,  # ShutdownInProgress
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        133,  # FailedToSatisfyReadPreference: mongos finds no primary
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        10058,  # LegacyNotPrimary
        10107,  # NotWritablePrimary
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
"""Codes after which another server, or this one later, can be asked: those that the drivers' specification retries."""
_SILENCES: Final = frozenset(
    {
        50,  # MaxTimeMSExpired: the limit that timeout() has sent along
        202,  # NetworkInterfaceExceededTimeLimit, which mongos says of a shard
        262,  # ExceededTimeLimit
    }
)
_MISTAKES: Final = {
    13: "the server does not allow this user what sessions need. Put a user with the role readWrite on the database"
    " into LOCATION.",
    18: "the server refuses the user or the password. Correct them in LOCATION, and its authSource.",
    100: "a write asks for more members than the replica set has. Leave w out of LOCATION and OPTIONS.",
}
_REFUSALS: Final = {
    64: "too few members of the replica set have confirmed the write in time",
    14031: "the server's disk is full. Make room",
}


_WORDS: Final[tuple[tuple[type[PyMongoError], Failure, str], ...]] = (
    (ServerSelectionTimeoutError, Failure.SILENCE, "no primary was found in time"),
    (NetworkTimeout, Failure.SILENCE, NO_ANSWER),
    (WaitQueueTimeoutError, Failure.SILENCE, "no connection was free in time (maxPoolSize)"),
    (NotPrimaryError, Failure.LOSS, "the server is not, or not any more, the primary"),
    (ConnectionFailure, Failure.LOSS, LOST),
    (ProtocolError, Failure.LOSS, "the answer was not understood"),
    (InvalidOperation, Failure.LOSS, "the client was closed meanwhile"),
)
"""For exceptions without an answer of the server; the first class that fits counts."""


def failure_of(error: PyMongoError) -> tuple[Failure, str] | None:
    """Return what an exception of PyMongo says about the server; None if nothing."""
    if isinstance(error, OperationFailure):
        return _answer(error)
    if isinstance(error, ConfigurationError):
        return _unusable(error)
    found = next(((failure, words) for kind, failure, words in _WORDS if isinstance(error, kind)), None)
    root = root_of(error)
    if found is None or root is None or isinstance(root, TimeoutError):
        return found
    return found[0], f"{found[1]}: {type(root).__name__}{f', {root.strerror}' if root.strerror else ''}"


def _answer(error: OperationFailure) -> tuple[Failure, str]:
    code, details = error.code, error.details or {}
    # Not the message: it may quote a key.
    name = f"{details.get('codeName') or type(error).__name__} (code {code})"
    if code in _LOSSES:
        return Failure.LOSS, name
    if code in _SILENCES or isinstance(error, ExecutionTimeout):
        return Failure.SILENCE, f"{NO_ANSWER}: {name}"
    if code == 8000 and "auth" in str(details.get("errmsg", "")):  # AtlasError, for several things
        code = 18
    if code in _MISTAKES:
        return Failure.MISTAKE, f"{name}: {_MISTAKES[code]}"
    return Failure.REFUSAL, f"{name}: {_REFUSALS[code]}" if code in _REFUSALS else name


def _unusable(error: ConfigurationError) -> tuple[Failure, str]:
    """Distinguish a DNS that does not answer from a name, or a server, that PyMongo cannot use."""
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN, NoAnswer

    cause = error.__cause__
    if isinstance(cause, NXDOMAIN | NoAnswer):
        return Failure.MISTAKE, "the DNS has no SRV record of this name. Correct LOCATION."
    if isinstance(cause, DNSException | OSError):
        return Failure.LOSS, f"the DNS did not answer: {type(cause).__name__}"
    return Failure.MISTAKE, "PyMongo cannot use this server, or not with these options. See the exception above."


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and the causes that it was raised from, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__


def root_of(error: PyMongoError) -> OSError | None:
    """Return the error of the socket, of TLS or of the resolver that caused one of PyMongo's; None if there is none."""
    return next((cause for cause in causes(error) if isinstance(cause, OSError)), None)


def mistake_in(root: OSError | None) -> str | None:
    """Return what is wrong with LOCATION, given why the first connection failed; None if it may be an outage."""
    if isinstance(root, ssl.SSLCertVerificationError):
        return "its certificate is not trusted. Set tlsCAFile in LOCATION or OPTIONS, or correct the host's name."
    if isinstance(root, socket.gaierror) and root.errno == socket.EAI_NONAME:
        return NO_HOST
    return None


def _problems(hello: Mapping[str, Any], indexes: Mapping[str, Any], concern: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what endangers sessions, given the server's hello, the collection's indexes and the write concern."""
    problems = []
    if not any("expireAfterSeconds" in index for index in indexes.values()):
        problems.append("The TTL index is missing, so expired sessions pile up: run checksessions --prepare.")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        problems.append("The server stands alone, and what it has acknowledged is lost with it: use a replica set.")
    if concern.get("w", "majority") != "majority":
        problems.append(
            f"With w={concern['w']} a failover may undo an acknowledged write: leave w out of LOCATION and OPTIONS."
        )
    return tuple(problems)


async def inspection(run: Callable[..., Awaitable[Any]], concern: Mapping[str, Any]) -> Inspection:
    """Return the inspection of the server; ``run`` is MongoDBStore's, and runs a command on our collection."""
    build = await run(lambda c: c.database.command("buildInfo"))
    # Servers before 4.4.2, and mongo-java-server, know only the older command.
    hello = await run(lambda c: c.database.command("hello"), OperationFailure)
    hello = hello or await run(lambda c: c.database.command("isMaster"))
    indexes = await run(lambda c: c.index_information())
    # PyMongo returns UTC as a naive datetime by default.
    clock = hello["localTime"].replace(tzinfo=datetime.UTC).timestamp()
    return Inspection(build["version"], clock, _problems(hello, indexes, concern))
