"""What becomes of several sessions in one request: encoded first, stored next, cookies last."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse

from django_multisession.exceptions import SessionNotSerializable, SessionTooLarge
from django_multisession.sessions.loading import session_class
from django_multisession.stores import memory
from django_multisession.testing.drive import either
from tests.middleware.conftest import Body, Visitor, put
from tests.middleware.engine import Switchable

ALL = ("default", "second", "cart", "sealed")
COOKIES = {"sessionid", "sessionid_second", "sessionid_cart", "sessionid_sealed"}


def put_all(**data: Any) -> Body:
    async def view(request: Any) -> None:
        for name in ALL:
            await either(request.sessions[name].update, request.sessions[name].aupdate, data)

    return view


def deleting(name: str, visitor: Visitor) -> None:
    """Delete a session's record as a logout elsewhere does, right before it is replaced."""
    cookie = visitor.client.cookies["sessionid" if name == "default" else f"sessionid_{name}"].value
    memory._rows.value.pop(session_class(name).records().key(cookie).storage_key)


def test_sessions_of_one_request_do_not_see_each_other(visitor: Visitor) -> None:
    async def view(request: Any) -> None:
        for name in ALL:
            await either(request.sessions[name].update, request.sessions[name].aupdate, {"is": name})

    response = visitor.visit(view)
    assert set(response.cookies) == COOKIES
    for name in ALL:
        assert visitor.data(name) == {"is": name}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [(name, object(), SessionNotSerializable) for name in ALL]
    + [("cart", "x" * 5000, SessionTooLarge), ("default", "x" * 5_000_000, SessionTooLarge)],
)
def test_session_that_cannot_be_encoded_leaves_the_others_and_all_cookies(
    visitor: Visitor, name: str, value: Any, expected: type[Exception]
) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> None:
        await put_all(n=2)(request)
        await either(request.sessions[name].update, request.sessions[name].aupdate, {"wrong": value})

    with pytest.raises(expected, match=name):
        visitor.visit(view)
    visitor.errors_as_responses()
    Switchable.calls.clear()
    response = visitor.visit(view)
    assert response.status_code == 500
    assert not response.cookies
    assert set(Switchable.calls) <= {"read"}
    for other in ALL:
        assert visitor.data(other) == {"n": 1}


def test_session_that_ends_lives_on_where_another_cannot_be_encoded(visitor: Visitor) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> None:
        request.sessions["second"].ends = True
        await either(request.session.update, request.session.aupdate, {"wrong": object()})

    with pytest.raises(SessionNotSerializable):
        visitor.visit(view)
    assert visitor.data("second") == {"n": 1}


@pytest.mark.parametrize("name", ["default", "second"])
def test_session_deleted_meanwhile_is_interrupted_and_the_other_cookies_are_sent(visitor: Visitor, name: str) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> None:
        await put_all(n=2)(request)
        deleting(name, visitor)

    response = visitor.visit(view)
    assert response.status_code == 400
    assert set(response.cookies) == COOKIES - {"sessionid" if name == "default" else f"sessionid_{name}"}
    for other in ALL:
        assert visitor.data(other) == ({} if other == name else {"n": 2})


def test_session_deleted_meanwhile_and_alone_is_interrupted_as_in_django(visitor: Visitor) -> None:
    visitor.visit(put(n=1))

    async def view(request: Any) -> None:
        await put(n=2)(request)
        deleting("default", visitor)

    visitor.errors_as_responses()
    assert visitor.visit(view).status_code == 400
    assert visitor.data() == {}


def test_session_deleted_meanwhile_lets_a_logout_from_another_be_sent(visitor: Visitor) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> None:
        await either(request.session.flush, request.session.aflush)
        await put("second", n=2)(request)
        deleting("second", visitor)

    response = visitor.visit(view)
    assert response.status_code == 400
    assert {name: cookie["max-age"] for name, cookie in response.cookies.items()} == {"sessionid": 0}


def test_update_error_of_the_view_is_an_interrupted_session(visitor: Visitor) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> None:
        await put_all(n=2)(request)
        deleting("second", visitor)
        await either(request.sessions["second"].save, request.sessions["second"].asave)

    response = visitor.visit(view)
    assert response.status_code == 400
    assert set(response.cookies) == COOKIES - {"sessionid_second"}


def test_interrupted_session_keeps_its_cause() -> None:
    from django.contrib.sessions.backends.base import UpdateError

    from django_multisession.http.finish import raising

    cause = UpdateError()
    with pytest.raises(SessionInterrupted, match="was deleted") as caught:
        raising(cause)(HttpRequest())
    assert caught.value.__cause__ is cause


def test_outage_while_saving_still_sends_the_cookies_of_sessions_that_were_saved(visitor: Visitor) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> None:
        await put_all(n=2)(request)
        # The default session is saved first.
        Switchable.before["replace"] = lambda: Switchable.before.update(replace=Switchable.go_down)

    response = visitor.visit(view)
    Switchable.come_back()
    assert response.status_code == 503
    assert "no-store" in response.headers["Cache-Control"]
    assert set(response.cookies) == COOKIES - {"sessionid_second"}
    assert [visitor.data(name)["n"] for name in ALL] == [2, 1, 2, 2]


def test_error_of_another_kind_while_saving_still_sends_the_cookies(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def view(request: Any) -> None:
        await put_all(n=1)(request)
        Switchable.before["insert"] = lambda: Switchable.before.update(insert=fail)

    visitor.errors_as_responses()
    response = visitor.visit(view)
    assert response.status_code == 500
    assert set(response.cookies) == COOKIES - {"sessionid_second"}


@pytest.mark.parametrize("status", [500, 503, 599])
def test_server_error_of_the_view_saves_nothing(visitor: Visitor, status: int) -> None:
    visitor.visit(put_all(n=1))

    async def view(request: Any) -> HttpResponse:
        await put_all(n=2)(request)
        request.sessions["second"].ends = True
        return HttpResponse(status=status)

    response = visitor.visit(view)
    assert response.status_code == status
    assert not response.cookies
    for name in ALL:
        assert visitor.data(name) == {"n": 1}


@pytest.mark.parametrize("status", [200, 302, 404, 499])
def test_other_answers_of_the_view_save(visitor: Visitor, status: int) -> None:
    async def view(request: Any) -> HttpResponse:
        await put_all(n=2)(request)
        return HttpResponse(status=status)

    assert set(visitor.visit(view).cookies) == COOKIES


def test_session_that_is_gone_is_no_error_where_every_request_saves(visitor: Visitor, site: Any) -> None:
    visitor.visit(put(n=1))
    memory._rows.value.clear()
    site.SESSION_SAVE_EVERY_REQUEST = True

    async def view(request: Any) -> None: ...

    response = visitor.visit(view)
    assert response.status_code == 200
    # The browser may have another one by now, after a logout and a login that were answered meanwhile.
    assert not response.cookies


def test_session_that_is_gone_is_no_error_where_it_is_only_marked_as_modified(visitor: Visitor) -> None:
    visitor.visit(put(n=1))
    memory._rows.value.clear()

    async def view(request: Any) -> None:
        request.session.modified = True

    assert visitor.visit(view).status_code == 200


def test_every_request_saves_the_sessions_that_it_used(visitor: Visitor, site: Any) -> None:
    visitor.visit(put_all(n=1))
    site.SESSION_SAVE_EVERY_REQUEST = True

    async def view(request: Any) -> None:
        await either(request.sessions["cart"].get, request.sessions["cart"].aget, "n")

    assert set(visitor.visit(view).cookies) == {"sessionid", "sessionid_cart"}


def test_unreadable_session_keeps_its_cookie_until_it_is_written(visitor: Visitor, site: Any) -> None:
    visitor.visit(put("cart", n=1))
    before = visitor.client.cookies["sessionid_cart"].value
    site.SECRET_KEY = "another fake secret"

    async def look(request: Any) -> None:
        assert await either(request.sessions["cart"].get, request.sessions["cart"].aget, "n") is None
        request.sessions["cart"].modified = True

    assert "sessionid_cart" not in visitor.visit(look).cookies
    visitor.visit(put("cart", n=2))
    assert visitor.client.cookies["sessionid_cart"].value != before
    assert visitor.data("cart") == {"n": 2}
