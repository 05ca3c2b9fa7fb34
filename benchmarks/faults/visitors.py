"""Visitors who count in their sessions, and notice what was lost."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

NUMBER = 4
PAUSE = 0.03
"""Seconds between two requests of one visitor."""
PATIENCE = 30.0


class Answer(NamedTuple):
    """One request: when it began and ended, and its status, 0 where there was none."""

    began: float
    ended: float
    status: int

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Visitor:
    """A browser with one session. It changes and reads it in turn."""

    port: int
    name: str
    prefix: str
    answers: list[Answer] = field(default_factory=list)
    lost: int = 0
    is_logged_out: bool = False
    _acknowledged: int = 0
    _cookie: str = ""

    @property
    def has_counted(self) -> bool:
        """Whether there is something to lose."""
        return self._acknowledged > 2

    def come(self, gone: threading.Event) -> None:
        """Log in, then count and look until the event."""
        while not gone.is_set() and not self._cookie:
            self._visit(f"login/?user={self.name}")
            gone.wait(PAUSE)
        while not gone.is_set():
            for page in ("count/", "read/"):
                self._visit(page)
                gone.wait(PAUSE)

    def look_again(self) -> None:
        """See at the end whether all that was acknowledged is there."""
        ends = time.monotonic() + PATIENCE
        while self._cookie and self._visit("read/") != 200 and time.monotonic() < ends:
            time.sleep(PAUSE)

    def _visit(self, page: str) -> int:
        began, status, body = time.monotonic(), 0, ""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Cookie": self._cookie} if self._cookie else {}
            connection.request("GET", f"/{self.prefix}{page}", headers=headers)
            response = connection.getresponse()
            status, body = response.status, response.read().decode()
            if cookie := response.headers["Set-Cookie"]:
                self._cookie = cookie.partition(";")[0]
        except (OSError, http.client.HTTPException):
            pass  # no answer, which counts as a failure
        finally:
            connection.close()
        self.answers.append(Answer(began, time.monotonic(), status))
        if status == 200:
            self._check(body, changes=int(page == "count/"))
        return status

    def _check(self, body: str, changes: int) -> None:
        user, _, n = body.partition(" ")
        self.is_logged_out |= user != self.name
        expected = self._acknowledged + changes
        # More is no loss: of a change whose answer was 503, nobody knows whether it was made.
        self.lost += max(expected - int(n), 0)
        self._acknowledged = int(n)


@contextmanager
def crowd(port: int, asynchronous: bool) -> Iterator[list[Visitor]]:
    """Have visitors come, each for as long as the block runs, and look again after it."""
    visitors = [Visitor(port, f"visitor-{number}", "a" * asynchronous) for number in range(NUMBER)]
    gone = threading.Event()
    threads = [threading.Thread(target=visitor.come, args=[gone]) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        yield visitors
    finally:
        gone.set()
        for thread in threads:
            thread.join()
    for visitor in visitors:
        visitor.look_again()
