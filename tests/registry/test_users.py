"""What becomes of a user's sessions when the user is deactivated or deleted (ASVS 5, 7.4.2)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from django_multisession.registry.models import RegisteredSession, RegisteredUser
from django_multisession.registry.users import follow_users
from tests.registry import keyed

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


urlpatterns = [path("", whoami), path("admin/", admin.site.urls)]


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__, SESSION_ENGINE="django_multisession.engines.memory", MULTISESSION={}):
        yield


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def clients(ann: User) -> list[Client]:
    """Two browsers in which Ann is logged in."""
    found = [Client(), Client()]
    for client in found:
        client.force_login(ann)
        assert client.get("/").content == b"ann"
    return found


def kept(clients: list[Client]) -> list[bool]:
    """Tell of each browser whether its session still holds a login, whatever the user is by now."""
    return ["_auth_user_id" in client.session for client in clients]


@pytest.fixture
def staff(ann: User) -> Iterator[User]:
    """Ann by a proxy of the user's model, as some projects make one."""

    class Staff(User):
        class Meta:
            proxy = True
            app_label = "auth"

    follow_users()  # as at the start, where all models are there
    yield Staff.objects.get(pk=ann.pk)
    del apps.all_models["auth"]["staff"]
    apps.clear_cache()


def save(user: User) -> None:
    user.is_active = False
    user.save()


def save_alone(user: User) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])


def _staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def in_the_admin(user: User) -> None:
    form = {"username": "ann", "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    assert _staff().post(f"/admin/auth/user/{user.pk}/change/", form).status_code == 302


@pytest.mark.parametrize("deactivate", [save, save_alone, in_the_admin])
def test_user_who_is_deactivated_loses_all_sessions_for_good(
    ann: User, clients: list[Client], deactivate: Callable[[User], None]
) -> None:
    deactivate(ann)
    ann.refresh_from_db()
    assert not ann.is_active
    assert kept(clients) == [False, False]
    User.objects.filter(pk=ann.pk).update(is_active=True)
    assert [client.get("/").content for client in clients] == [b"", b""]


@pytest.mark.parametrize("end", [save, save_alone])
def test_proxy_of_a_user_who_is_deactivated_loses_all_sessions(
    staff: User, clients: list[Client], end: Callable[[User], None]
) -> None:
    end(staff)
    assert kept(clients) == [False, False]
    assert not RegisteredSession.objects.filter(user=staff.pk, revoked_at=None).exists()


def test_user_whose_deactivation_is_rolled_back_keeps_all_sessions(ann: User, clients: list[Client]) -> None:
    with transaction.atomic():
        save(ann)
        transaction.set_rollback(True)
    assert [client.get("/").content for client in clients] == [b"ann", b"ann"]


def test_user_who_is_saved_otherwise_keeps_all_sessions(ann: User, clients: list[Client]) -> None:
    ann.first_name = "Ann"
    ann.save()
    assert [client.get("/").content for client in clients] == [b"ann", b"ann"]


def test_update_of_a_query_is_told_to_nobody_and_shuts_the_user_out(ann: User, clients: list[Client]) -> None:
    User.objects.filter(pk=ann.pk).update(is_active=False)
    assert [client.get("/").content for client in clients] == [b"", b""]  # ModelBackend's doing
    User.objects.filter(pk=ann.pk).update(is_active=True)
    assert clients[0].get("/").content == b"ann"


def delete(user: User) -> None:
    user.delete()


def delete_query(user: User) -> None:
    User.objects.filter(pk=user.pk).delete()


def delete_in_the_admin(user: User) -> None:
    assert _staff().post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"}).status_code == 302


@pytest.mark.parametrize("remove", [delete, delete_query, delete_in_the_admin])
def test_user_who_is_deleted_takes_all_sessions_along(
    ann: User, clients: list[Client], remove: Callable[[User], None]
) -> None:
    pk = ann.pk
    remove(ann)
    assert kept(clients) == [False, False]
    assert not RegisteredSession.objects.filter(user=pk).exists()
    assert not RegisteredUser.objects.filter(user=pk).exists()


def delete_query_of(user: User) -> None:
    type(user).objects.filter(pk=user.pk).delete()


@pytest.mark.parametrize("remove", [delete, delete_query_of])
def test_proxy_of_a_user_who_is_deleted_takes_all_sessions_along(
    staff: User, clients: list[Client], remove: Callable[[User], None]
) -> None:
    pk = staff.pk
    remove(staff)
    assert kept(clients) == [False, False]
    assert not RegisteredSession.objects.filter(user=pk).exists()


def test_user_whose_deletion_is_rolled_back_keeps_all_sessions(ann: User, clients: list[Client]) -> None:
    with transaction.atomic():
        User.objects.filter(pk=ann.pk).delete()
        transaction.set_rollback(True)
    assert [client.get("/").content for client in clients] == [b"ann", b"ann"]
    assert RegisteredSession.objects.filter(user=ann, revoked_at=None).count() == 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["db", "signed_cookies"])
@pytest.mark.parametrize("kind", ["uuid", "text"])
def test_user_of_another_primary_key_has_sessions_that_end(engine: str, kind: str) -> None:
    program = [sys.executable, "-m", keyed.__name__, engine]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"} | {
        "PEOPLE_KEY": kind
    }
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
