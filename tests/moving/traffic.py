"""Visitors of a site of two processes, each counting, while the processes are put in place of others."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.cookies import SimpleCookie
from typing import Any

from tests.moving.shops import HOST, Shop

PATIENCE = 120.0
"""Seconds after which visitors that do not come are given up."""
CROWD = 6
"""Visitors who are there at once."""
BESIDE = ThreadPoolExecutor(CROWD)
"""For what a visitor's browser asks for at the same time."""


@dataclass(eq=False)
class Visitor:
    """A browser with its jar, and what its user has counted so far."""

    user: int
    looks: bool = True
    """Whether it asks for two pages at a time."""
    jar: dict[str, str] = field(default_factory=dict)
    count: int = 0
    visits: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)
    keys: set[str] = field(default_factory=set)
    """Every value that its session's cookie has had."""

    def ask(self, shop: Shop, path: str, jar: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask for a page, with the visitor's cookies or with others, which are not changed then."""
        sent = self.jar if jar is None else jar
        lines = [f"GET {path} HTTP/1.0", "Host: testserver", "User-Agent: a browser"]
        if sent:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in sent.items()))
        with socket.create_connection((HOST, shop.port), PATIENCE) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = b"".join(iter(partial(connection.recv, 65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        assert " 200 " in status, f"{status}\n{shop.log_tail(40)}"
        if jar is None:
            for header in headers:
                name, _, value = header.partition(": ")
                if name == "Set-Cookie":
                    self._set(value)
        found: dict[str, Any] = json.loads(body)
        return found

    def _set(self, line: str) -> None:
        for name, morsel in SimpleCookie(line).items():
            if morsel["max-age"] == 0 or morsel["max-age"] == "0":
                self.jar.pop(name, None)
            else:
                self.jar[name] = morsel.value
                self.keys.add(morsel.value)

    def login(self, shop: Shop) -> None:
        self.ask(shop, f"/login/{self.user}")

    def counts(self, shop: Shop, other: Shop) -> None:
        """Count once, while a page is read of the ``other`` process; nothing may be lost, and nobody logged out."""
        self.count += 1
        look = BESIDE.submit(self.ask, other, "/look", dict(self.jar)) if self.looks else None
        found = self.ask(shop, "/count")
        assert found == {"user": self.user, "count": self.count}, (found, self.count)
        assert look is None or look.result()["user"] == self.user
        self.visits += 1


class Traffic:
    """Lets visitors come in any order to any process.

    Of a visitor's two requests at a time one counts, and one reads at another process.
    """

    def __init__(self, visitors: list[Visitor], shops: list[Shop]) -> None:
        self.visitors = visitors
        self.shops = shops
        self.errors: list[BaseException] = []
        self._over = threading.Event()
        self._queue: list[Visitor] = []
        self._came = threading.Condition()
        self._inside: Counter[int] = Counter()
        """How many requests are under way, by the port of their process."""

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Let visitors come until the block ends; raise what went wrong."""
        threads = [threading.Thread(target=self._come, daemon=True) for _ in range(CROWD)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(PATIENCE)
        self._raise()

    def _come(self) -> None:
        while not self._over.is_set():
            visitor = self._next()
            try:
                with visitor.turn:
                    if visitor in self.visitors:
                        with self._in_shops() as shops:
                            visitor.counts(*shops)
            except BaseException as error:  # noqa: BLE001 - it is raised where the visitors are waited for
                self.errors.append(error)
                self._over.set()
            with self._came:
                self._came.notify_all()

    def _next(self) -> Visitor:
        """Return whoever comes next; nobody comes again before all others have come."""
        with self._came:
            if not self._queue:
                self._queue = self._shuffled()
            return self._queue.pop()

    def _shuffled(self) -> list[Visitor]:
        return random.sample(self.visitors, len(self.visitors))

    @contextmanager
    def _in_shops(self) -> Iterator[list[Shop]]:
        """Yield the processes in any order; none of them goes meanwhile."""
        with self._came:
            shops = random.sample(self.shops, len(self.shops))
            self._inside.update(shop.port for shop in shops)
        try:
            yield shops
        finally:
            with self._came:
                self._inside.subtract(shop.port for shop in shops)
                self._came.notify_all()

    def _raise(self) -> None:
        for error in self.errors:
            raise error

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Wait at the end of the block until every visitor has come since it began."""
        with self._came:
            self._queue = self._shuffled()
            # A visit that is under way has begun before.
            due = {visitor: visitor.visits + visitor.turn.locked() for visitor in self.visitors}
        yield
        with self._came:
            assert self._came.wait_for(
                lambda: self.errors or all(v.visits > before or v not in self.visitors for v, before in due.items()),
                PATIENCE,
            ), "some visitors did not come"
        self._raise()

    @contextmanager
    def deployed(self, number: int, shop: Shop) -> Iterator[None]:
        """Put a new process, which runs, in the place of another; everybody comes before the block ends.

        Nobody comes to the other one any more, which may be stopped; to wait for that here would only add visits.
        """
        with self._came:
            old, self.shops[number] = self.shops[number], shop
            assert self._came.wait_for(lambda: not self._inside[old.port], PATIENCE), "a request takes for ever"
        with self.visited():
            yield

    def joins(self, visitor: Visitor) -> None:
        """Let a new visitor log in, and come from now on."""
        with self._in_shops() as (shop, *_):
            visitor.login(shop)
        self.visitors.append(visitor)

    def logs_out(self, visitor: Visitor) -> dict[str, str]:
        """Log a visitor out, who does not come any more; return the cookies that were left."""
        self.visitors.remove(visitor)
        with visitor.turn, self._in_shops() as (shop, *_):
            had = dict(visitor.jar)
            visitor.ask(shop, "/logout")
            return had
