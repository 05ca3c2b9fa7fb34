"""A session is made when it is asked for, and the response varies on those that were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from django_multisession.middleware import SessionMiddleware
from django_multisession.sessions.base import MultisessionBase
from django_multisession.sessions.loading import session_class
from django_multisession.testing.drive import either
from tests.middleware.conftest import SERVER, SESSIONS, Visitor, put
from tests.middleware.engine import Switchable


async def nothing(request: Any) -> None: ...


def varies(response: Any) -> bool:
    return "Cookie" in response.headers.get("Vary", "")


def test_untouched_sessions_do_no_io_and_no_vary(visitor: Visitor) -> None:
    for name in SESSIONS:
        visitor.visit(put(name, n=1))
    Switchable.calls.clear()
    response = visitor.visit(nothing)
    assert Switchable.calls == []
    assert not varies(response)
    assert not response.cookies


def test_untouched_named_sessions_are_not_made(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor.visit(put("cart", n=1))
    made: list[str] = []
    init = MultisessionBase.__init__

    def noted(self: Any, *args: Any) -> None:
        made.append(self.session_name)
        init(self, *args)

    monkeypatch.setattr(MultisessionBase, "__init__", noted)
    visitor.visit(nothing)
    assert made == ["default"]


def test_named_session_is_made_once_a_request(visitor: Visitor) -> None:
    async def view(request: Any) -> None:
        assert request.sessions["cart"] is request.sessions["cart"]

    visitor.visit(view)


def test_unknown_name_is_a_key_error_that_lists_the_configured(visitor: Visitor) -> None:
    async def view(request: Any) -> None:
        with pytest.raises(KeyError, match=r"'nope'.*'default', 'second', 'cart', 'sealed'"):
            request.sessions["nope"]
        assert "nope" not in request.sessions
        assert request.sessions.get("nope") is None
        assert list(request.sessions) == list(SESSIONS)
        assert len(request.sessions) == 4

    visitor.visit(view)


def test_default_of_sessions_is_the_session_also_when_reassigned(visitor: Visitor) -> None:
    async def view(request: Any) -> None:
        assert request.sessions["default"] is request.session
        request.session = session_class("default")()
        assert request.sessions["default"] is request.session
        await either(request.sessions["default"].update, request.sessions["default"].aupdate, {"n": 7})

    visitor.visit(view)
    assert visitor.data() == {"n": 7}


@pytest.mark.parametrize("other", [None, {}, "absent"])
def test_session_that_was_taken_away_is_no_error(visitor: Visitor, other: Any) -> None:
    async def view(request: Any) -> None:
        await put("cart", n=1)(request)
        if other == "absent":
            del request.session
        else:
            request.session = other

    response = visitor.visit(view)
    assert set(response.cookies) == {"sessionid_cart"}


def test_foreign_default_session_goes_beside_named_ones(visitor: Visitor, site: Any) -> None:
    site.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"

    async def view(request: Any) -> None:
        await either(request.session.update, request.session.aupdate, {"n": 1})
        await either(request.sessions["second"].update, request.sessions["second"].aupdate, {"n": 2})

    response = visitor.visit(view)
    assert set(response.cookies) == {"sessionid", "sessionid_second"}
    assert visitor.data() == {"n": 1}
    assert visitor.data("second") == {"n": 2}

    async def flush(request: Any) -> None:
        await either(request.session.flush, request.session.aflush)

    assert visitor.visit(flush).cookies["sessionid"]["max-age"] == 0


USES: dict[str, Callable[[Any], object]] = {
    "get": lambda session: session.get("n"),
    "getitem": lambda session: session["n"],
    "in": lambda session: "n" in session,
    "keys": lambda session: session.keys(),
    "values": lambda session: session.values(),
    "items": lambda session: session.items(),
    "bool": bool,
    "has_key": lambda session: session.has_key("n"),
    "update": lambda session: session.update({"n": 2}),
    "setitem": lambda session: session.__setitem__("n", 2),
    "delete": lambda session: session.__delitem__("n"),
    "pop": lambda session: session.pop("n"),
    "clear": lambda session: session.clear(),
    "flush": lambda session: session.flush(),
    "flashes": lambda session: session.flashes(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["default", "second", "cart", "sealed"])
@pytest.mark.parametrize("colour", ["sync"])
def test_response_varies_on_a_session_that_was_used(visitor: Visitor, name: str, use: str) -> None:
    visitor.visit(put(name, n=1))

    async def view(request: Any) -> None:
        USES[use](request.sessions[name])

    assert varies(visitor.visit(view))


AUSES: dict[str, tuple[Any, ...]] = {
    "get": ("n",),
    "keys": (),
    "has_key": ("n",),
    "set": ("n", 2),
    "pop": ("n",),
    "flush": (),
    "flashes": (),
    "cycle_key": (),
}


@pytest.mark.parametrize("use", AUSES)
@pytest.mark.parametrize("name", ["default", "cart"])
@pytest.mark.parametrize("colour", ["async"])
def test_response_varies_on_a_session_that_was_used_asynchronously(visitor: Visitor, name: str, use: str) -> None:
    visitor.visit(put(name, n=1))

    async def view(request: Any) -> None:
        await getattr(request.sessions[name], f"a{use}")(*AUSES[use])

    assert varies(visitor.visit(view))


def test_reading_one_session_leaves_the_other_alone(visitor: Visitor) -> None:
    visitor.visit(put("second", n=1))
    visitor.visit(put("default", n=1))
    Switchable.calls.clear()

    async def view(request: Any) -> None:
        await either(request.sessions["cart"].get, request.sessions["cart"].aget, "n")

    assert varies(visitor.visit(view))
    assert Switchable.calls == []


# Subclasses.


class FromHeader(SessionMiddleware):
    """Takes the default session's key from elsewhere, as APIs do."""

    def process_request(self, request: HttpRequest) -> None:
        request.session = self.SessionStore(request.headers.get("X-Session"))


def test_subclass_with_a_session_of_its_own_saves_it(visitor: Visitor, site: Any) -> None:
    site.MIDDLEWARE = [f"{__name__}.FromHeader"]

    async def view(request: Any) -> None:
        await either(request.session.update, request.session.aupdate, {"n": 1})

    key = visitor.visit(view).cookies["sessionid"].value
    visitor.client.cookies.clear()

    async def look(request: Any) -> HttpResponse:
        return HttpResponse(str(await either(request.session.get, request.session.aget, "n")))

    assert visitor.visit(look, headers={"X-Session": key}).content == b"1"


class Marking(SessionMiddleware):
    def process_response(self, request: Any, response: Any) -> Any:
        response = super().process_response(request, response)
        response.headers["X-Saved"] = "yes"
        return response

    async def aprocess_response(self, request: Any, response: Any) -> Any:
        response = await super().aprocess_response(request, response)
        response.headers["X-Saved"] = "yes"
        return response


def test_subclass_with_more_to_do_on_a_response_is_asked_in_both_colours(visitor: Visitor, site: Any) -> None:
    site.MIDDLEWARE = [f"{__name__}.Marking"]
    response = visitor.visit(put(n=1))
    assert response.headers["X-Saved"] == "yes"
    assert "sessionid" in response.cookies


# PRELOAD.


@pytest.fixture
def preloaded(site: Any) -> None:
    site.MULTISESSION = {**SESSIONS, "second": {"ENGINE": SERVER, "PRELOAD": True}}


@pytest.mark.usefixtures("preloaded")
def test_preloaded_session_is_read_synchronously_in_any_view(visitor: Visitor) -> None:
    visitor.visit(put("second", n=1))
    Switchable.calls.clear()

    async def view(request: Any) -> HttpResponse:
        calls = list(Switchable.calls)
        return HttpResponse(f"{calls} {request.sessions['second']['n']} {Switchable.calls}")

    response = visitor.visit(view)
    assert response.content == b"['read'] 1 ['read']"
    assert varies(response)


@pytest.mark.usefixtures("preloaded")
def test_preloading_does_not_count_as_access(visitor: Visitor) -> None:
    visitor.visit(put("second", n=1))
    Switchable.calls.clear()
    response = visitor.visit(nothing)
    assert Switchable.calls == ["read"]
    assert not varies(response)


@pytest.mark.usefixtures("preloaded")
def test_preloading_in_an_outage_is_503(visitor: Visitor) -> None:
    visitor.visit(put("second", n=1))
    Switchable.go_down()
    response = visitor.visit(nothing)
    assert response.status_code == 503
    assert not response.cookies


@pytest.mark.usefixtures("preloaded")
def test_preloaded_session_is_written(visitor: Visitor) -> None:
    visitor.visit(put("second", n=1))

    async def view(request: Any) -> None:
        request.sessions["second"]["n"] += 1

    visitor.visit(view)
    assert visitor.data("second") == {"n": 2}
