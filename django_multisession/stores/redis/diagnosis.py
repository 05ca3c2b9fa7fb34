"""Inspect a Redis server: its version, its clock, and what endangers sessions on it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from ..base import Inspection
from .failures import NODE_OF_CLUSTER, Command, answered
from .location import address
from .server import Server

QUESTIONS: Final[Sequence[Command]] = [("INFO",), ("TIME",), ("CONFIG", "GET", "save")]
"""The commands that each node is asked."""


def inspection(server: Server, answers: Sequence[tuple[Any, list[Any]]]) -> Inspection:
    """Return the inspection of a server, given its nodes' answers to QUESTIONS.

    Managed servers refuse CONFIG: nothing is said of snapshots then. Raises ImproperlyConfigured if LOCATION names one
    node of a cluster as if it were a single server, even if that has the keys that it was asked for.
    """
    infos = {node: _fields(answered(info)) for node, (info, _, _) in answers}
    if infos.get(None, {}).get("cluster_enabled") == "1":
        raise ImproperlyConfigured(f"MULTISESSION: {server.name}: {NODE_OF_CLUSTER}")
    problems, notes = server.notes(infos)
    of_nodes: dict[str, list[str]] = {}
    for node, (_, _, snapshots) in answers:
        saves = isinstance(snapshots, Exception) or bool(snapshots[-1])
        for problem in _problems(infos[node], saves):
            of_nodes.setdefault(problem, []).append("" if node is None else address(*node))
    first, (_, clock, _) = answers[0]
    seconds, microseconds = answered(clock)
    return Inspection(
        version=infos[first].get("valkey_version") or infos[first].get("redis_version", "?"),
        time=int(seconds) + int(microseconds) / 1e6,
        problems=(*problems, *(_on(nodes) + problem for problem, nodes in of_nodes.items())),
        notes=notes,
    )


def _on(nodes: Sequence[str]) -> str:
    """Return the prefix that names the nodes with a problem; a single server needs none."""
    return "" if nodes == [""] else f"{', '.join(nodes)}: "


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _problems(fields: dict[str, str], snapshots: bool) -> Iterator[str]:
    policy = fields.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and fields.get("maxmemory", "0") != "0":
        yield (
            f"maxmemory-policy is {policy!r}: when memory is full, sessions are evicted, which "
            "looks like a logout. Set it to 'noeviction', or give sessions a Redis of their own."
        )
    if fields.get("aof_enabled") == "0" and not snapshots:
        yield (
            "Nothing is written to disk: a restart logs everybody out. Set 'appendonly yes', or 'save' for snapshots."
        )
    if fields.get("rdb_last_bgsave_status", "ok") != "ok":
        yield (
            "The last snapshot failed, and Redis refuses writes until one succeeds. Its log says "
            "why; mostly the disk is full."
        )
    # Redis reports how many replicas are good only where min-replicas-to-write is set.
    yield from _replication(int(fields.get("connected_slaves", 0)), guarded="min_slaves_good_slaves" in fields)
    if fields.get("role") == "slave":
        yield "This is a replica, which refuses writes. Set LOCATION to the primary."


def _replication(replicas: int, guarded: bool) -> Iterator[str]:
    """Yield what is wrong with the number of replicas; ``guarded`` tells whether min-replicas-to-write is set."""
    there = "There is one replica" if replicas == 1 else "There are replicas"
    if replicas and not guarded:
        remedy = "Set it to 1, and 'min-replicas-max-lag' to 10."
        if replicas == 1:
            remedy = (
                "Add a replica, then set it to 1: with one alone, no session is written while either server is down."
            )
        yield (
            f"{there}, and 'min-replicas-to-write' is 0: a primary that is cut off goes on to take writes, and a "
            f"failover undoes them, logouts as well. {remedy}"
        )
    elif replicas == 1:
        yield f"{there}, and 'min-replicas-to-write' is set: no session is written while either is down. Add one."
