"""Whose devices the page and its JSON show and end: the visitor's own, and by no other visitor's request."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import include, path
from django.utils import timezone, translation

from django_multisession.registry.models import RegisteredSession
from tests.registry.rows import row_of

pytestmark = pytest.mark.django_db

urlpatterns = [path("devices/", include("django_multisession.registry.urls"))]

PAGE, OTHERS, API = "/devices/", "/devices/others", "/devices/api/sessions"
SCRIPT = "<script>alert('x')</script>"


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__, LOGIN_URL="/login"):
        yield


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


def client_of(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def test_page_shows_the_users_own_live_sessions_alone(ann: User, bob: User) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    mine = row_of(ann, ip_address="203.0.113.9")
    foreign = [row_of(bob), row_of(ann, revoked_at=long_ago), row_of(ann, expires_at=long_ago)]
    response = client_of(ann).get(PAGE)
    text = response.content.decode()
    assert str(mine.public_id) in text
    assert "203.0.113.9" in text
    assert "Firefox on Windows" in text
    assert not [row for row in foreign if str(row.public_id) in text]
    shown = client_of(ann).get(API).json()["sessions"]
    assert str(mine.public_id) in [each["id"] for each in shown]
    assert not {each["id"] for each in shown} & {str(row.public_id) for row in foreign}


@pytest.mark.parametrize("whose", ["bob's", "nobody's", "revoked", "expired"])
def test_session_that_is_not_the_users_is_404(ann: User, bob: User, whose: str) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    row = {
        "bob's": lambda: row_of(bob),
        "nobody's": lambda: RegisteredSession(public_id=uuid4()),
        "revoked": lambda: row_of(ann, revoked_at=long_ago),
        "expired": lambda: row_of(ann, expires_at=long_ago),
    }[whose]()
    client = client_of(ann)
    assert client.post(f"{PAGE}{row.public_id}").status_code == 404
    response = client.delete(f"{API}/{row.public_id}")
    assert (response.status_code, response.json()["error"]) == (404, "not_found")
    assert not RegisteredSession.objects.filter(user=bob, revoked_at__isnull=False).exists()


def test_visitor_without_a_login_is_sent_there_and_back_to_the_page(ann: User) -> None:
    row = row_of(ann)
    for url, method in ((PAGE, "get"), (OTHERS, "get"), (OTHERS, "post"), (f"{PAGE}{row.public_id}", "post")):
        response = getattr(Client(), method)(url, headers={"Referer": "https://evil.example/"})
        assert (response.status_code, response.headers["Location"]) == (302, f"/login?next={PAGE}")
    for url, method in ((API, "get"), (API, "delete"), (f"{API}/{row.public_id}", "delete")):
        response = getattr(Client(), method)(url)
        assert (response.status_code, response.json()["error"]) == (401, "unauthenticated")
    assert RegisteredSession.objects.get().revoked_at is None


@pytest.mark.parametrize("middleware", [True, False])
def test_change_without_a_token_is_403_also_without_the_middleware(ann: User, middleware: bool, settings: Any) -> None:
    if not middleware:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    row = row_of(ann)
    client = client_of(ann, enforce_csrf_checks=True)
    assert client.post(f"{PAGE}{row.public_id}").status_code == 403
    assert client.post(OTHERS).status_code == 403
    assert client.delete(API).status_code == 403
    assert client.delete(f"{API}/{row.public_id}").status_code == 403
    assert RegisteredSession.objects.filter(revoked_at=None).count() == RegisteredSession.objects.count()
    # A client of the JSON has its token from the list.
    assert client.get(API).status_code == 200
    headers = {"X-CSRFToken": client.cookies["csrftoken"].value}
    assert client.delete(f"{API}/{uuid4()}", headers=headers).status_code == 404


def test_get_changes_nothing(ann: User) -> None:
    row_of(ann), row_of(ann)
    client = client_of(ann)
    client.get(PAGE)  # the session that this one logged in to gets its row
    before = list(RegisteredSession.objects.order_by("pk").values())
    row = RegisteredSession.objects.first()
    assert row is not None
    for method in ("get", "head", "options", "put", "patch"):
        for url in (PAGE, OTHERS, f"{PAGE}{row.public_id}", API, f"{API}/{row.public_id}"):
            assert getattr(client, method)(url).status_code in {200, 405}
    assert client.delete(PAGE).status_code == client.post(API).status_code == 405
    assert client.delete(f"{PAGE}{row.public_id}").status_code == 405
    assert list(RegisteredSession.objects.order_by("pk").values()) == before


def test_page_escapes_what_a_client_has_sent(ann: User) -> None:
    row_of(ann, user_agent=SCRIPT, label=f'"{SCRIPT}')
    row_of(ann, user_agent='" onmouseover="alert(1)')
    text = client_of(ann).get(PAGE).content.decode()
    assert "<script" not in text
    assert '" onmouseover="' not in text
    assert text.count("&lt;script&gt;") == 3
    response = client_of(ann).get(API)
    assert response.headers["Content-Type"] == "application/json"
    assert SCRIPT in [each["name"] for each in response.json()["sessions"]]


def test_page_needs_nothing_inline_and_is_kept_by_no_cache(ann: User) -> None:
    row_of(ann), row_of(ann)
    for url in (PAGE, OTHERS):
        response = client_of(ann).get(url)
        text = response.content.decode()
        assert not re.search(r"<style|<script|\sstyle=|\son\w+=|javascript:", text)
        assert "no-store" in response.headers["Cache-Control"]
        assert response.headers["X-Frame-Options"] == "DENY"
    assert "no-store" in client_of(ann).get(API).headers["Cache-Control"]


def test_answers_hold_no_key(ann: User) -> None:
    rows = [row_of(ann), row_of(ann, previous_key=secrets.token_hex(20), external_id="sid-of-the-provider")]
    client = client_of(ann)
    key = str(client.session.session_key)
    for url in (PAGE, OTHERS, API):
        text = client.get(url).content.decode()
        hidden = [key, "sid-of-the-provider", *(row.storage_key for row in rows), rows[1].previous_key]
        assert not [each for each in hidden if each in text]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Your devices", "IP address", "Firefox on Windows"]),
        ("de", ["Ihre Geräte", "IP-Adresse", "Firefox auf Windows"]),
        ("fr", ["Vos appareils", "Adresse IP", "Firefox sur Windows"]),
        ("es", ["Sus dispositivos", "Dirección IP", "Firefox en Windows"]),
    ],
)
def test_page_speaks_the_language_of_the_request(ann: User, language: str, words: list[str]) -> None:
    row_of(ann)
    with translation.override(language):
        text = client_of(ann).get(PAGE).content.decode()
    assert f'<html lang="{language}">' in text
    assert not [each for each in words if each not in text]


def test_revocation_in_a_testcase_takes_effect_with_its_callbacks(
    ann: User, django_capture_on_commit_callbacks: Any
) -> None:
    here, there = client_of(ann), client_of(ann)
    there.get(PAGE)
    row = RegisteredSession.objects.get()
    assert here.post(f"{PAGE}{row.public_id}").status_code == 302
    assert there.get(API).status_code == 200
    third = client_of(ann)
    third.get(PAGE)
    row = RegisteredSession.objects.latest("pk")
    with django_capture_on_commit_callbacks(execute=True):
        assert here.post(f"{PAGE}{row.public_id}").status_code == 302
    assert third.get(API).status_code == 401
