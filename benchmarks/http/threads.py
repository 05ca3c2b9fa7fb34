"""How many threads a server uses."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Self

import psutil

from django_multisession.testing.servers import guard

INTERVAL = 0.1  # seconds


class ThreadCount:
    """``with ThreadCount(pid) as count:``, then ``count.peak``: the most threads of a process and its children."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        # Once: children that come and go during a load would be news, and looking for them takes its share of a core.
        self._processes = guard.tree(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._count()

    def _count(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.peak = max(self.peak, sum(process.num_threads() for process in self._processes))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._count()
