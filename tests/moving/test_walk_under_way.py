"""Two walks at once, while visitors count: nobody is logged out, no count is lost, and nothing is left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.moving.shops import Shop, environment, prepare, start, stop
from tests.moving.test_deploys import Move, move
from tests.moving.traffic import Traffic, Visitor

__all__ = ["move"]
SOURCES = ["foreign:db", "foreign:file", "foreign:cached_db-redis", "foreign:user_sessions", "foreign:qsessions"]
ASLEEP = 50
"""Visitors who do not come while the walk is under way."""


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("target", ["redis"])
@pytest.mark.parametrize(
    "source", [pytest.param(name, marks=[] if name == SOURCES[0] else [pytest.mark.nightly]) for name in SOURCES]
)
def test_walks_under_way_are_not_noticed(move: Move) -> None:
    prepare(move.new())
    visitors = [Visitor(number) for number in range(1, 21)]
    asleep = [Visitor(number) for number in range(100, 100 + ASLEEP)]
    with ExitStack() as stack:
        with Shop(move.old) as old:
            for visitor in [*visitors, *asleep]:
                visitor.login(old)
        traffic = Traffic(visitors, [Shop(move.new()), Shop(move.new())])
        stack.callback(stop, traffic.shops)
        start(traffic.shops)
        with traffic.under_way():
            walks = [_walk(move) for _ in range(2)]
            outputs = [walk.communicate()[0] for walk in walks]
            assert [walk.returncode for walk in walks] == [0, 0], outputs
            with traffic.visited():
                pass
        moved = sum(int(re.findall(r"(\d+) moved", output)[0]) for output in outputs)
        assert ASLEEP <= moved <= ASLEEP + len(visitors), outputs
        for visitor in asleep:
            visitor.counts(*traffic.shops)
    with Shop(move.old) as old:
        for visitor in [*visitors, *asleep]:
            assert visitor.ask(old, "/look", dict(visitor.jar))["user"] is None


def _walk(move: Move) -> subprocess.Popen[str]:
    variables = {**os.environ, **environment(move.new())}
    command = [sys.executable, "-m", "django", "migratesessions", "--batch-size", "7"]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
