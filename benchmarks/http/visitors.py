"""Visitors of the measured site: each logs in and has its cookies, as a browser would."""

from __future__ import annotations

import http.client
from http.cookies import SimpleCookie

from benchmarks.payload import CHANGED, LOGGED_IN, READ
from django_multisession.testing.servers.base import LOOPBACK


class WrongAnswer(Exception):
    """The site does not answer what the session holds: its speed would mean nothing."""


class Visitor:
    """A client with a cookie jar, without its rules on paths and domains."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
        self._jar: dict[str, str] = {}

    @property
    def cookies(self) -> str:
        """The Cookie header that this visitor sends."""
        return "; ".join(f"{name}={value}" for name, value in self._jar.items())

    def get(self, page: str) -> str:
        """Return the text of a page; WrongAnswer if it has another status than 200."""
        self._connection.request("GET", f"/{page}/", headers={"Cookie": self.cookies} if self._jar else {})
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status != http.client.OK:
            raise WrongAnswer(f"/{page}/ answers {response.status}: {text[:200]}")
        for header in response.headers.get_all("Set-Cookie", []):
            self._jar.update({name: morsel.coded_value for name, morsel in SimpleCookie(header).items()})
        return text

    def close(self) -> None:
        self._connection.close()


def log_in(port: int, number: int) -> list[str]:
    """Return the Cookie headers of so many visitors with a session each."""
    found = []
    for _ in range(number):
        visitor = Visitor(port)
        visitor.get("login")
        found.append(visitor.cookies)
        visitor.close()
    return found


def check(port: int) -> None:
    """Raise WrongAnswer unless the pages read and change a visitor's session, and nobody else's."""
    visitor, stranger = Visitor(port), Visitor(port)
    visitor.get("login")
    visits = LOGGED_IN[CHANGED]
    expected = [
        (visitor, "read", LOGGED_IN[READ]),
        (visitor, "change", str(visits + 1)),
        (visitor, "change", str(visits + 2)),
        (visitor, "read", LOGGED_IN[READ]),
        (visitor, "none", "none"),
        (stranger, "read", "None"),
    ]
    for who, page, text in expected:
        if (got := who.get(page)) != text:
            raise WrongAnswer(f"/{page}/ answers {got!r} where it should answer {text!r}")
    visitor.close()
    stranger.close()
