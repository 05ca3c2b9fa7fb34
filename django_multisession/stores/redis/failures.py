"""What redis-py's exceptions, and a server's refusals, say about the server."""

import re
from collections.abc import Mapping
from typing import Any, Final

import redis
import redis.asyncio.sentinel
import redis.sentinel

from ..base import Failure
from ..connecting import is_unacknowledged
from ..wording import LOST, NO_ANSWER, WRONG_LOGIN

Command = tuple[str | bytes | int, ...]
"""A command and its arguments."""

NODE_OF_CLUSTER: Final = "this is a node of a Redis Cluster. Set LOCATION to redis+cluster://host:port/."

_NO_MASTER: Final = (
    "no sentinel names a master: they do not answer, take it for down, do not know the service that LOCATION names, or "
    "refuse the login in OPTIONS['sentinel_kwargs']"
)

_DATA: Final = re.compile("['\"`,:(@]")
"""In a refusal, the text behind one of these characters may be data."""

# By the first word of a refusal. Any other is a REFUSAL without advice.
_CODES: Final[dict[str, tuple[Failure, str]]] = {
    "OOM": (
        Failure.REFUSAL,
        "the server is full: it has reached maxmemory under 'maxmemory-policy noeviction'. Give it more memory, or "
        "shorten the life of sessions.",
    ),
    "MISCONF": (
        Failure.REFUSAL,
        "the server cannot write to its disk, and takes no writes until it can. Its log says why; mostly the disk is "
        "full.",
    ),
    "NOPERM": (
        Failure.REFUSAL,
        "the user lacks a permission. Let ACL SETUSER add, on the keys of the sessions, +get +set +del +getrange "
        "+evalsha +eval +client; with a database in LOCATION +select; on a cluster +cluster|slots +asking; for "
        "OPTIONS['wait'] +wait; and for the commands +scan +info +time.",
    ),
    "NOREPLICAS": (Failure.REFUSAL, "fewer replicas than 'min-replicas-to-write' are connected."),
    "WRONGPASS": (Failure.MISTAKE, WRONG_LOGIN),
    "NOAUTH": (Failure.MISTAKE, "the server demands a password. Add it to LOCATION: redis://:password@host:port/0."),
    "MOVED": (Failure.MISTAKE, NODE_OF_CLUSTER),
    "ASK": (Failure.MISTAKE, NODE_OF_CLUSTER),
    "LOADING": (Failure.LOSS, "the server is loading its data"),
    "MASTERDOWN": (Failure.LOSS, "this replica has lost its primary"),
    "CLUSTERDOWN": (Failure.LOSS, "the cluster does not serve these keys"),
    "READONLY": (Failure.LOSS, "the server has become a replica"),
    "TRYAGAIN": (Failure.LOSS, "the keys are moving to another node"),
}

# By a part of the text of a refusal that begins with ERR.
_ERRORS: Final[tuple[tuple[str, Failure, str], ...]] = (
    ("DB index is out of range", Failure.MISTAKE, "the server has no such database. Correct the number in LOCATION."),
    (
        "cluster support disabled",
        Failure.MISTAKE,
        "this is no Redis Cluster. Set LOCATION to redis://host:port/database.",
    ),
    ("SELECT is not allowed in cluster mode", Failure.MISTAKE, NODE_OF_CLUSTER),
    (
        "unknown command",
        Failure.MISTAKE,
        "the server does not know a command. A Sentinel does not: then set LOCATION to "
        "redis+sentinel://host:port/service.",
    ),
    ("Client sent AUTH, but no password is set", Failure.MISTAKE, "the server has no password. Correct LOCATION."),
    ("AUTH <password> called without", Failure.MISTAKE, "the server has no password. Correct LOCATION."),
    ("invalid password", Failure.MISTAKE, "wrong password. Correct LOCATION."),
    ("max number of clients reached", Failure.LOSS, "the server has reached 'maxclients'"),
)


# By the class of an exception, where no refusal says more.
_CLASSES: Final[tuple[tuple[type[Exception], Failure, str], ...]] = (
    (redis.TimeoutError, Failure.SILENCE, NO_ANSWER),
    (redis.AuthenticationError, Failure.MISTAKE, WRONG_LOGIN),
    (redis.sentinel.MasterNotFoundError, Failure.LOSS, _NO_MASTER),
    (redis.asyncio.sentinel.MasterNotFoundError, Failure.LOSS, _NO_MASTER),
    (redis.ConnectionError, Failure.LOSS, LOST),
    (redis.InvalidResponse, Failure.LOSS, "what came is no answer of Redis"),
    (redis.exceptions.ClusterError, Failure.LOSS, "no node of the cluster answered"),
    # Not a RedisError, though redis-py raises it for whatever keeps it from a cluster's nodes.
    (redis.RedisClusterException, Failure.LOSS, "no node of the cluster could be reached"),
)


_NAMED: Final[Mapping[str, type[redis.ResponseError]]] = {
    "ASK": redis.exceptions.AskError,
    "MOVED": redis.exceptions.MovedError,
    "NOSCRIPT": redis.exceptions.NoScriptError,
}
"""The refusals that other modules handle, as redis-py's classes."""


def refusal(said: str) -> redis.ResponseError:
    """Return a server's refusal as redis-py's exception, which holds the code apart from the text."""
    code, _, text = said.partition(" ")
    return _NAMED[code](text, status_code=code) if code in _NAMED else redis.ResponseError(said)


def answered(answer: Any) -> Any:
    """Return an answer; raise it if it is a refusal."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def failure(error: Exception) -> tuple[Failure, str] | None:
    """Return what an exception of redis-py says about the server, without any data; None if nothing."""
    if isinstance(error, redis.RedisError) and (answer := _answer(error)) is not None:
        return answer
    if is_unacknowledged(error):
        return Failure.LOSS, LOST
    return next(((kind, said) for of_class, kind, said in _CLASSES if isinstance(error, of_class)), None)


def ends_connection(answer: Any) -> bool:
    """Tell whether an answer is a refusal after which the connection is given up: another may not meet it."""
    if not isinstance(answer, redis.RedisError):
        return False
    found = failure(answer)
    return found is not None and found[0] is Failure.LOSS


def cause(error: BaseException) -> OSError | None:
    """Return the system's error that redis-py has wrapped, which says more; None if there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and not isinstance(seen, TimeoutError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def code_of(error: redis.RedisError) -> str:
    """Return the code that a refusal begins with; ERR if there is none."""
    # redis-py moves the codes that it knows from the text into status_code.
    first = str(error).partition(" ")[0]
    return error.status_code or (first if first.isalpha() and first.isupper() else "ERR")


def _answer(error: redis.RedisError) -> tuple[Failure, str] | None:
    text, code = str(error), code_of(error)
    if code in _CODES:
        kind, said = _CODES[code]
        return kind, f"{code}, {said}"
    for words, kind, said in _ERRORS:
        if words in text:
            return kind, f"{code}, {said}"
    if isinstance(error, redis.ResponseError):
        return Failure.REFUSAL, f"{code}, {_DATA.split(text)[0].strip()}"
    return None
