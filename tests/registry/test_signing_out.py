"""What the buttons of the page, and the JSON, do to devices that are really logged in."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.contrib.messages import get_messages
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from django.utils import timezone

from django_multisession.registry.checks import check_registry
from django_multisession.registry.models import RegisteredSession
from django_multisession.registry.reauthentication import asked_first
from django_multisession.testing.servers.base import free_port
from tests.registry.rows import row_of
from tests.system.backends import PATIENCE, Backend
from tests.system.conftest import backend

__all__ = ["backend"]

# Records are deleted when a transaction commits, which that of a TestCase never does.
pytestmark = pytest.mark.django_db(transaction=True)


def shop(request: Any) -> HttpResponse:
    """Log in to a named session as well."""
    request.sessions["shop"]["_auth_user_id"] = str(request.user.pk)
    return HttpResponse()


urlpatterns = [
    path("shop", shop),
    path("devices/", include("django_multisession.registry.urls")),
    path("login", LoginView.as_view()),
]

PAGE, OTHERS, API = "/devices/", "/devices/others", "/devices/api/sessions"
SETTINGS = {
    "ROOT_URLCONF": __name__,
    "LOGIN_URL": "/login",
    "LOGOUT_REDIRECT_URL": None,
    "SESSION_ENGINE": "django_multisession.engines.memory",
    "MULTISESSION": {
        "away": {
            "ENGINE": "django_multisession.engines.redis",
            "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
            "TIMEOUT": 0.2,
        },
        "cart": {"ENGINE": "django_multisession.engines.signed_cookies"},
        "shop": {"ENGINE": "django_multisession.engines.memory"},
    },
}


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with override_settings(**SETTINGS):
        yield


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


class Device:
    """A browser in which a user has logged in."""

    def __init__(self, user: User) -> None:
        known = set(RegisteredSession.objects.values_list("pk", flat=True))
        self.client = Client()
        self.client.force_login(user)
        self.client.get(PAGE)  # a cookie that was made outside of a request has its row from its first use on
        self.row = RegisteredSession.objects.exclude(pk__in=known).get()

    @property
    def url(self) -> str:
        return f"{PAGE}{self.row.public_id}"

    @property
    def api(self) -> str:
        return f"{API}/{self.row.public_id}"

    @property
    def is_logged_in(self) -> bool:
        return self.client.get(API).status_code == 200


@pytest.fixture
def here(ann: User) -> Device:
    return Device(ann)


@pytest.fixture
def there(ann: User) -> Device:
    return Device(ann)


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_page_marks_the_device_that_one_sits_at(here: Device, there: Device) -> None:
    text = here.client.get(PAGE).content.decode()
    assert text.count("This device") == 1
    assert text.index(here.url) < text.index(there.url)
    current = {each["id"]: each["current"] for each in here.client.get(API).json()["sessions"]}
    assert current == {str(here.row.public_id): True, str(there.row.public_id): False}


def test_signing_out_another_device_ends_it(here: Device, there: Device) -> None:
    response = here.client.post(there.url)
    assert (response.status_code, response.headers["Location"]) == (302, PAGE)
    assert said(response) == ["1 device was signed out."]
    assert here.is_logged_in
    assert not there.is_logged_in
    assert here.client.post(there.url).status_code == 404


def test_signing_out_all_others_asks_once(ann: User, here: Device, there: Device) -> None:
    third, stranger = Device(ann), Device(User.objects.create_user("bob"))
    assert "2 other devices will be signed out" in here.client.get(OTHERS).content.decode()
    assert there.is_logged_in
    response = here.client.post(OTHERS)
    assert (response.status_code, response.headers["Location"]) == (302, PAGE)
    assert said(response) == ["2 devices were signed out."]
    assert [each.is_logged_in for each in (here, there, third, stranger)] == [True, False, False, True]
    # There is nothing to ask any more.
    assert here.client.get(OTHERS).headers["Location"] == PAGE
    assert OTHERS not in here.client.get(PAGE).content.decode()


def test_signing_out_the_own_device_is_a_logout(here: Device, there: Device, settings: Any) -> None:
    response = here.client.post(here.url)
    assert (response.status_code, response.headers["Location"]) == (302, "/login")
    assert not here.is_logged_in
    settings.LOGOUT_REDIRECT_URL = "/bye"
    assert there.client.post(there.url).headers["Location"] == "/bye"


def test_named_session_of_ones_own_is_ended_without_a_logout(here: Device) -> None:
    here.client.get("/shop")
    shop = RegisteredSession.objects.get(session_name="shop")
    assert [each["current"] for each in here.client.get(API).json()["sessions"]] == [True, True]
    assert here.client.post(f"{PAGE}{shop.public_id}").headers["Location"] == PAGE
    assert here.is_logged_in
    shop.refresh_from_db()
    assert shop.revoked_at is not None


def test_json_ends_one_and_all_others(ann: User, here: Device, there: Device) -> None:
    response = here.client.delete(there.api)
    assert (response.status_code, response.json()) == (200, {"count": 1, "pending": False, "logged_out": False})
    assert not there.is_logged_in
    others = [Device(ann), Device(ann)]
    response = here.client.delete(API)
    assert (response.status_code, response.json()["count"]) == (200, 2)
    assert [each.is_logged_in for each in (here, *others)] == [True, False, False]
    assert here.client.delete(API).json()["count"] == 0
    response = here.client.delete(here.api)
    assert response.json() == {"count": 1, "pending": False, "logged_out": True}
    assert not here.is_logged_in


def test_outage_is_said_after_the_mark(ann: User, here: Device) -> None:
    first, second, third = (row_of(ann, session_name="away") for _ in range(3))
    response = here.client.post(f"{PAGE}{first.public_id}")
    assert response.status_code == 202
    assert "it may still be signed in" in response.content.decode()
    response = here.client.delete(f"{API}/{second.public_id}")
    assert (response.status_code, response.json()) == (202, {"count": 0, "pending": True, "logged_out": False})
    assert here.client.delete(API).status_code == 202
    for row in (first, second, third):
        row.refresh_from_db()
        assert row.revoked_at is not None
    assert here.is_logged_in


def test_session_that_nobody_can_revoke_is_409_and_says_why(ann: User, here: Device) -> None:
    row = row_of(ann, session_name="cart")
    response = here.client.post(f"{PAGE}{row.public_id}")
    assert response.status_code == 409
    assert "cannot be ended from here" in response.content.decode()
    response = here.client.delete(f"{API}/{row.public_id}")
    assert (response.status_code, response.json()["error"]) == (409, "not_revocable")


def test_no_key_is_logged_or_shown_on_the_way(
    ann: User, here: Device, there: Device, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    away = row_of(ann, session_name="away", previous_key=secrets.token_hex(20))
    secret = [str(each.client.session.session_key) for each in (here, there)]
    secret += [here.row.storage_key, there.row.storage_key, away.storage_key, away.previous_key]
    answers = [
        here.client.get(PAGE),
        here.client.post(f"{PAGE}{away.public_id}"),
        here.client.post(f"{PAGE}{away.public_id}"),
        here.client.post(there.url),
        here.client.post(there.url),
        here.client.delete(API),
        there.client.get(PAGE),
    ]
    texts = [answer.content.decode() for answer in answers] + [caplog.text]
    assert "Not Found" in caplog.text
    assert not [text for text in texts for key in secret if key in text]


@pytest.mark.parametrize("url", [PAGE, OTHERS, API])
def test_page_asks_as_much_for_many_devices_as_for_one(
    ann: User, here: Device, url: str, django_assert_num_queries: Any
) -> None:
    for _ in range(30):
        row_of(ann)
    with django_assert_num_queries(2):  # the user, and the sessions
        assert here.client.get(url).status_code == 200


# The password first.


def age(device: Device, **ago: int) -> None:
    """Let the device have logged in so long ago."""
    RegisteredSession.objects.filter(pk=device.row.pk).update(authenticated_at=timezone.now() - timedelta(**ago))


@override_settings(MULTISESSION_REAUTHENTICATE=300)
def test_old_login_has_to_come_again_before_others_are_ended(here: Device, there: Device) -> None:
    age(here, minutes=6)
    response = here.client.post(there.url)
    assert (response.status_code, response.headers["Location"]) == (302, f"/login?next={PAGE}")
    for method in ("get", "post"):
        assert getattr(here.client, method)(OTHERS).headers["Location"] == f"/login?next={OTHERS}"
    for url in (API, there.api):
        response = here.client.delete(url)
        assert (response.status_code, response.json()["error"]) == (403, "reauthenticate")
        assert response.json()["location"].startswith("/login?")
    assert there.is_logged_in
    assert here.client.post(here.url).headers["Location"] == "/login"  # a logout needs no password
    assert not here.is_logged_in


@override_settings(MULTISESSION_REAUTHENTICATE=300)
def test_login_that_comes_again_leads_back_and_may_end_others(ann: User, here: Device, there: Device) -> None:
    ann.set_password("not-a-secret")
    ann.save()
    here, there = Device(ann), Device(ann)
    age(here, minutes=6)
    login = here.client.get(OTHERS).headers["Location"]
    before = here.client.session.session_key
    response = here.client.post(login, {"username": "ann", "password": "not-a-secret"})
    assert (response.status_code, response.headers["Location"]) == (302, OTHERS)
    assert here.client.session.session_key != before
    assert here.client.post(OTHERS).headers["Location"] == PAGE
    assert [each.is_logged_in for each in (here, there)] == [True, False]


@override_settings(MULTISESSION_REAUTHENTICATE=300)
def test_new_login_may_end_others(here: Device, there: Device) -> None:
    age(here, minutes=4)
    assert here.client.post(there.url).headers["Location"] == PAGE
    assert not there.is_logged_in


def ask(request: HttpRequest) -> HttpResponse | None:
    """Ask for the password, as a project's own hook might."""
    return None if request.headers.get("X-Password") else HttpResponse("Your password?", status=403)


@override_settings(MULTISESSION_REAUTHENTICATE=f"{__name__}.ask")
def test_hook_of_a_project_decides(here: Device, there: Device) -> None:
    assert here.client.post(there.url).content == b"Your password?"
    response = here.client.delete(there.api)
    assert (response.status_code, response.json()["location"]) == (403, None)
    assert there.is_logged_in
    assert here.client.post(there.url, headers={"X-Password": "yes"}).headers["Location"] == PAGE
    assert not there.is_logged_in


@pytest.mark.parametrize("value", [0, -1, True, 5.0, "", "nowhere.hook", f"{__name__}.PAGE", [300]])
def test_wrong_hook_is_an_error_of_the_check_and_at_run_time(here: Device, value: object) -> None:
    with override_settings(MULTISESSION_REAUTHENTICATE=value):
        (message,) = check_registry()
        assert message.id == "multisession.E020"
        assert message.msg.startswith(f"MULTISESSION_REAUTHENTICATE is {value!r}; it must be None, the seconds")
        with pytest.raises(ImproperlyConfigured, match="MULTISESSION_REAUTHENTICATE"):
            asked_first(HttpRequest())


# Wherever the sessions are, and under ASGI.


@pytest.fixture
def engine(backend: Backend) -> Iterator[None]:
    """The default session on every server-side engine."""
    with backend.configured(KEY_PREFIX=f"devices{secrets.token_hex(4)}", TIMEOUT=PATIENCE):
        yield


def test_signing_out_ends_sessions_on_every_engine(engine: None, ann: User) -> None:
    here, there, third = Device(ann), Device(ann), Device(ann)
    assert here.client.post(there.url).headers["Location"] == PAGE
    assert [each.is_logged_in for each in (here, there, third)] == [True, False, True]
    assert here.client.delete(API).json()["count"] == 1
    assert [each.is_logged_in for each in (here, third)] == [True, False]


@pytest.mark.parametrize("name", ["signed_cookies", "encrypted_cookies"])
def test_signing_out_ends_sessions_in_revocable_cookies(ann: User, name: str, settings: Any) -> None:
    settings.SESSION_ENGINE = f"django_multisession.engines.{name}"
    settings.MULTISESSION = {"default": {"REVOCABLE": True, "REVOCABLE_CACHE": None}}
    here, there = Device(ann), Device(ann)
    assert here.client.post(there.url).headers["Location"] == PAGE
    assert [each.is_logged_in for each in (here, there)] == [True, False]
    third = Device(ann)
    assert here.client.delete(API).json()["count"] == 1
    assert [each.is_logged_in for each in (here, third)] == [True, False]
    assert here.client.post(here.url).headers["Location"] == "/login"
    assert not here.is_logged_in


def test_pages_work_under_asgi(here: Device, there: Device) -> None:
    async def visit() -> list[int]:
        client = AsyncClient()
        client.cookies = here.client.cookies
        answers = [
            await client.get(PAGE),
            await client.get(API),
            await client.post(there.url),
            await client.get(OTHERS),
        ]
        return [answer.status_code for answer in answers]

    assert asyncio.run(visit()) == [200, 200, 302, 302]
    assert not there.is_logged_in
