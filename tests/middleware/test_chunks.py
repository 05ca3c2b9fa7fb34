"""One session in several cookies, and what a browser may send back of them."""

from __future__ import annotations

import itertools
import os
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.http import HttpResponse

from django_multisession.checks import check_settings
from django_multisession.cookies import MAX_SIZE
from django_multisession.exceptions import SessionTooLarge
from django_multisession.sessions.loading import session_class
from django_multisession.testing.drive import either
from tests.middleware.conftest import ENCRYPTED, SIGNED, Visitor, option, put

NAMES = ["c", "c.1", "c.2", "c.3"]


@pytest.fixture(params=[SIGNED, ENCRYPTED], ids=["signed", "encrypted"], autouse=True)
def engine(request: pytest.FixtureRequest, site: Any) -> str:
    site.SESSION_ENGINE, site.SESSION_COOKIE_NAME = request.param, "c"
    site.MULTISESSION = {"default": {"CHUNKS": 4}}
    return str(request.param)


def text(size: int) -> str:
    return os.urandom(size // 2).hex()


class Jar:
    """Cookies as a browser keeps them: what is deleted is gone."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.cookies: dict[str, str] = {}

    def visit(self, body: Any) -> Any:
        self.visitor.client.cookies = SimpleCookie(self.cookies)
        response = self.visitor.visit(body)
        self.take(response)
        return response

    def take(self, response: Any) -> None:
        for morsel in response.cookies.values():
            if morsel["max-age"] == 0:
                self.cookies.pop(morsel.key, None)
            else:
                self.cookies[morsel.key] = morsel.coded_value

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def look(request: Any) -> None:
            found.update(await either(request.session.items, request.session.aitems))

        self.visit(look)
        return found


@pytest.fixture
def jar(visitor: Visitor) -> Jar:
    return Jar(visitor)


@pytest.mark.parametrize("sizes", [[100, 4000, 7000, 10000], [10000, 100], [7000, 4000, 10000, 100, 10000]])
def test_session_grows_and_shrinks(jar: Jar, sizes: list[int]) -> None:
    for size in sizes:
        value = text(size)
        jar.visit(put(n=value))
        needed = {100: 1, 4000: 2, 7000: 3, 10000: 4}[size]
        assert sorted(jar.cookies) == NAMES[:needed]
        assert jar.data() == {"n": value}


def test_every_cookie_is_within_what_browsers_keep(jar: Jar) -> None:
    response = jar.visit(put(n=text(10000)))
    sizes = [len(morsel.OutputString()) for morsel in response.cookies.values()]
    assert max(sizes) <= MAX_SIZE
    assert sizes[:3] == [max(sizes)] * 3 or min(sizes[:3]) > MAX_SIZE - 100


def test_logout_deletes_every_chunk(jar: Jar) -> None:
    jar.visit(put(n=text(10000)))

    async def flush(request: Any) -> None:
        await either(request.session.flush, request.session.aflush)

    response = jar.visit(flush)
    assert sorted(response.cookies) == NAMES
    assert jar.cookies == {}


def test_stale_chunk_behind_a_gap_is_deleted(jar: Jar) -> None:
    jar.visit(put(n=text(10000)))
    del jar.cookies["c.1"]
    jar.visit(put(n="short"))
    assert sorted(jar.cookies) == ["c"]


def test_chunks_of_a_cookie_that_moves_are_deleted_where_they_were(jar: Jar) -> None:
    jar.visit(put(n=text(7000)))
    response = jar.visit(option(path="/sync/", secure=True))
    deleted = {morsel.key: morsel["path"] for morsel in response.cookies.values() if morsel["max-age"] == 0}
    assert deleted == dict.fromkeys(NAMES[:3], "/")
    kept = {morsel.key: morsel["path"] for morsel in response.cookies.values() if morsel["max-age"] != 0}
    assert kept == dict.fromkeys(NAMES[:3], "/sync/")


def test_missing_or_reordered_chunk_is_an_empty_session(jar: Jar) -> None:
    jar.visit(put(n=text(7000)))
    whole = dict(jar.cookies)
    values = list(whole.values())
    for order in itertools.permutations(values):
        jar.cookies = dict(zip(whole, order, strict=True))
        assert bool(jar.data()) is (list(order) == values)
    for missing in whole:
        jar.cookies = {name: value for name, value in whole.items() if name != missing}
        assert jar.data() == {}


def test_chunks_of_two_generations_are_an_empty_session(jar: Jar) -> None:
    generations = []
    for _ in range(2):
        jar.visit(put(n=text(7000)))
        generations.append(dict(jar.cookies))
    for picks in itertools.product((0, 1), repeat=3):
        jar.cookies = {name: generations[pick][name] for name, pick in zip(NAMES, picks, strict=False)}
        assert bool(jar.data()) is (len(set(picks)) == 1)


def test_chunks_of_another_generation_beside_a_short_one_do_not_matter(jar: Jar) -> None:
    jar.visit(put(n=text(7000)))
    long = dict(jar.cookies)
    jar.visit(put(n="short"))
    jar.cookies = {**long, **jar.cookies}
    assert jar.data() == {"n": "short"}


def test_session_without_its_first_chunk_is_replaced(jar: Jar) -> None:
    jar.visit(put(n=text(7000)))
    del jar.cookies["c"]
    jar.visit(put(n="new"))
    assert sorted(jar.cookies) == ["c"]
    assert jar.data() == {"n": "new"}


def test_session_too_large_names_its_largest_keys_and_leaves_the_cookies(jar: Jar) -> None:
    jar.visit(put(n=text(7000)))
    before = dict(jar.cookies)
    with pytest.raises(SessionTooLarge, match=r"'default'.*CHUNKS allows 4.*'huge' \(30\d{3} bytes\), 'n' \(70"):
        jar.visit(put(small=1, huge=text(30000)))
    assert jar.cookies == before


@pytest.mark.parametrize("chunks", [1, 2])
def test_fewer_chunks_than_before_are_an_empty_session_that_can_be_written(jar: Jar, site: Any, chunks: int) -> None:
    jar.visit(put(n=text(10000)))
    site.MULTISESSION = {"default": {"CHUNKS": chunks}}
    assert jar.data() == {}
    jar.visit(put(n="new"))
    assert jar.cookies.keys() == {"c"}
    assert jar.data() == {"n": "new"}


def test_check_warns_of_more_than_servers_take(site: Any, engine: str) -> None:
    (warning,) = check_settings()
    assert warning.id == "multisession.W003"
    assert "gunicorn" in warning.msg
    assert "8,190" in warning.msg
    assert "nginx" in warning.msg
    assert "8 kB" in warning.msg
    site.MULTISESSION = {"cart": {"ENGINE": engine}}
    assert [warning.id for warning in check_settings()] == ["multisession.W003"]
    site.MULTISESSION = {}
    assert check_settings() == []


# Django's test client.


@pytest.mark.parametrize("size", [10, 3900, 7000, 10000])
def test_single_unchunked_cookie_of_the_test_client_is_read(visitor: Visitor, size: int) -> None:
    session = session_class("default")()
    session["n"] = value = text(size)
    session.save()
    visitor.client.cookies["c"] = session.session_key
    assert visitor.data() == {"n": value}


@pytest.mark.parametrize("size", [10, 5000, 10000])
def test_session_of_the_test_client_is_that_of_a_chunked_cookie(visitor: Visitor, size: int) -> None:
    value = text(size)
    visitor.visit(put(n=value))
    session = visitor.runner.run(visitor.client.asession()) if visitor.runner else visitor.client.session
    assert dict(session.items()) == {"n": value}
    session["m"] = text(1000)
    session.save()
    visitor.client.cookies["c"] = session.session_key
    assert visitor.data()["m"] == session["m"]


def test_only_a_chunk_goes_over_the_wire(visitor: Visitor) -> None:
    response = visitor.visit(put(n=text(7000)))
    assert isinstance(response, HttpResponse)
    morsels = list(response.cookies.values())
    assert "".join(morsel.coded_value for morsel in morsels) == morsels[0].value
