"""Visitors of a site of two processes, each counting, while the processes are put in place of others."""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from django_multisession.testing.servers.web import ThreadsServer

SETTINGS = "tests.moving.shop_settings"
PATIENCE = 120.0
"""Seconds after which visitors that do not come are given up."""
MOST = 2000
"""More users than there are visitors."""
CROWD = 6
"""Requests that are under way at once."""


class Shop(ThreadsServer):
    """One process of the site, with settings of its own."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(SETTINGS, {"SHOP": json.dumps(settings)})


USERS = f"""\
import django
django.setup()
from django.contrib.auth.models import User
User.objects.bulk_create(User(pk=key, username=f"user {{key}}") for key in range(1, {MOST}))
"""


def prepare(settings: Mapping[str, Any]) -> None:
    """Make the tables of the site; some engines' have a key to the users' table, which no view reads."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, "SHOP": json.dumps(settings)}
    commands = [["migrate", "-v0", "--database", alias] for alias in settings["DATABASES"]]
    for command in (*(["-m", "django", *one] for one in [*commands, ["createcachetable", "-v0"]]), ["-c", USERS]):
        subprocess.run([sys.executable, *command], env=environment, check=True)


@dataclass
class Visitor:
    """A browser with its jar, and what its user has counted so far."""

    user: int
    jar: dict[str, str] = field(default_factory=dict)
    count: int = 0
    visits: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)
    keys: set[str] = field(default_factory=set)
    """Every value that its session's cookie has had."""

    def ask(self, shop: Shop, path: str, jar: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask for a page, with the visitor's cookies or with others, which are not changed then."""
        sent = self.jar if jar is None else jar
        connection = http.client.HTTPConnection(urlsplit(shop.location).netloc, timeout=PATIENCE)
        try:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in sent.items())} if sent else {}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        assert response.status == 200, f"{response.status}\n{shop.log_tail(40)}"
        if jar is None:
            for line in response.headers.get_all("Set-Cookie", []):
                self._set(line)
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

    def counts(self, shop: Shop, *, looks: bool = True) -> None:
        """Count once, while a second page is read if it ``looks``; nothing may be lost, and nobody logged out."""
        self.count += 1
        with ThreadPoolExecutor(1) as beside:
            look = beside.submit(self.ask, shop, "/look", dict(self.jar)) if looks else None
            found = self.ask(shop, "/count")
            assert found == {"user": self.user, "count": self.count}, (found, self.count)
            assert look is None or look.result()["user"] == self.user
        self.visits += 1


class Traffic:
    """Lets visitors come in any order to any process, one request of a visitor at a time."""

    def __init__(self, visitors: list[Visitor], shops: list[Shop], *, looks: bool = True) -> None:
        self.visitors = visitors
        self._looks = looks
        self.shops = shops
        self.errors: list[BaseException] = []
        self._over = threading.Event()
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
            visitor = random.choice(self.visitors)  # noqa: S311 - no secret
            if not visitor.turn.acquire(blocking=False):
                continue
            try:
                with self._in_shop() as shop:
                    visitor.counts(shop, looks=self._looks)
            except BaseException as error:  # noqa: BLE001 - it is raised where the visitors are waited for
                self.errors.append(error)
                self._over.set()
            finally:
                visitor.turn.release()
            with self._came:
                self._came.notify_all()

    @contextmanager
    def _in_shop(self) -> Iterator[Shop]:
        with self._came:
            shop = random.choice(self.shops)  # noqa: S311 - no secret
            self._inside[shop.port] += 1
        try:
            yield shop
        finally:
            with self._came:
                self._inside[shop.port] -= 1
                self._came.notify_all()

    def _raise(self) -> None:
        for error in self.errors:
            raise error

    def everybody_comes(self) -> None:
        """Wait until every visitor has come once more."""
        before = {visitor.user: visitor.visits for visitor in self.visitors}
        with self._came:
            assert self._came.wait_for(
                lambda: self.errors or all(v.visits > before.get(v.user, 0) for v in self.visitors), PATIENCE
            ), "some visitors did not come"
        self._raise()

    def close(self) -> None:
        """Stop all processes."""
        for shop in self.shops:
            shop.stop()

    def deploy(self, number: int, settings: Mapping[str, Any]) -> None:
        """Put a new process in the place of one that runs; everybody comes before the old one goes."""
        shop = Shop(settings)
        shop.start()
        with self._came:
            old, self.shops[number] = self.shops[number], shop
            assert self._came.wait_for(lambda: not self._inside[old.port], PATIENCE), "a request takes for ever"
        old.stop()
        self.everybody_comes()

    def joins(self, visitor: Visitor) -> None:
        """Let a new visitor log in, and come from now on."""
        with self._in_shop() as shop:
            visitor.login(shop)
        self.visitors.append(visitor)

    def logs_out(self, visitor: Visitor) -> dict[str, str]:
        """Log a visitor out, who does not come any more; return the cookies that he had."""
        self.visitors.remove(visitor)
        with visitor.turn, self._in_shop() as shop:
            had = dict(visitor.jar)
            visitor.ask(shop, "/logout")
            return had
