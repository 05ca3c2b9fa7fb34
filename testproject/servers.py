"""Run a command with every engine's server beside it: ``python -m testproject.servers COMMAND…``.

``python -m testproject.servers redis+cluster COMMAND…`` starts that alone (or redis+sentinel), as the location of the
command's engine.

The servers are those of the tests, on free loopback ports and with nothing kept; they end with the command. It finds
their locations, and why others are not there, in the variables that testproject/engine.py names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NoReturn

from django_multisession.testing.servers.base import Server, ServerError
from django_multisession.testing.servers.group import ServerGroup
from django_multisession.testing.servers.memcached import MemcachedServer
from django_multisession.testing.servers.mongodb import MongoDBServer
from django_multisession.testing.servers.postgresql import PostgreSQLServer
from django_multisession.testing.servers.redis import RedisServer
from django_multisession.testing.servers.redis_cluster import RedisCluster
from django_multisession.testing.servers.redis_sentinel import RedisSentinel

GROUPS: dict[str, Callable[[], ServerGroup[str]]] = {
    # Not min-replicas-to-write: a node that takes over has no replica, and would take no writes.
    "redis+cluster": partial(RedisCluster, "--appendonly", "yes"),
    "redis+sentinel": partial(RedisSentinel, "--appendonly", "yes", "--min-replicas-to-write", "1"),
}
SERVERS: dict[type[Server[Any]], tuple[str, ...]] = {
    RedisServer: ("--appendonly", "yes", "--maxmemory-policy", "noeviction"),
    MemcachedServer: (),
    MongoDBServer: (),
    PostgreSQLServer: ("-c", "fsync=on", "-c", "full_page_writes=on"),
}
"""The kinds of servers, with the options that the docs advise: those of the tests keep nothing over a crash."""
COOKIES = ("signed_cookies", "encrypted_cookies")


@contextmanager
def every_server() -> Iterator[dict[str, str]]:
    """Start all servers that are on this machine; yield the variables that have the demo use them."""
    named: dict[str, str | None] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for kind, options in SERVERS.items():
            try:
                server = stack.enter_context(kind(*options))
            except ServerError as error:
                missing[kind.name] = str(error).removeprefix(f"{kind.name}: ")
                continue
            named[kind.name] = server.url if isinstance(server, PostgreSQLServer) else server.location
        named.update(dict.fromkeys(COOKIES))
        yield {"MULTISESSION_NAMED": json.dumps(named), "MULTISESSION_MISSING": json.dumps(missing)}


def main(command: list[str]) -> int:
    """Run the command and return its exit code."""
    # As Ctrl-C does, so that the servers are stopped in order.
    signal.signal(signal.SIGTERM, _interrupt)
    print("Starting servers", file=sys.stderr)  # noqa: T201 - for whoever has started it
    if command[0] in GROUPS:
        try:
            with GROUPS[command[0]]() as group:
                return _run(command[1:], {**os.environ, "MULTISESSION_LOCATION": group.location})
        except ServerError as error:
            print(error, file=sys.stderr)  # noqa: T201 - for whoever has started it
            return 1
    with every_server() as variables:
        for name, reason in json.loads(variables["MULTISESSION_MISSING"]).items():
            print(f"Not here: {name}: {reason}", file=sys.stderr)  # noqa: T201 - for whoever has started it
        return _run(command, {**os.environ, **variables})


def _run(command: list[str], variables: Mapping[str, str]) -> int:
    child = subprocess.Popen(command, env=variables)  # noqa: S603 - what the caller asks for
    try:
        return child.wait()
    finally:
        child.terminate()
        child.wait()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
