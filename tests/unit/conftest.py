"""Unit tests start no process and do not sleep: what does belongs to tests/system."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

PROCESSES = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system")


class _Watch:
    """Refuses in place of the interpreter; an audit hook stays for good, so it is told when to look.

    Threads that were there before the test are none of its doing: PyMongo's sleep for half a second after close().
    """

    test = ""
    others: frozenset[int | None] = frozenset()

    def begin(self, test: str) -> None:
        here = threading.current_thread()
        self.others = frozenset(thread.ident for thread in threading.enumerate() if thread is not here)
        self.test = test

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.test or threading.get_ident() in self.others:
            return
        if event in PROCESSES or (event == "time.sleep" and arguments[0] > 0):
            raise AssertionError(f"{self.test} is a unit test, and did {event} {arguments!r}. Move it to tests/system.")


_watch = _Watch()
sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _neither_process_nor_sleep(request: pytest.FixtureRequest) -> Iterator[None]:
    _watch.begin(request.node.name)
    yield
    _watch.test = ""
