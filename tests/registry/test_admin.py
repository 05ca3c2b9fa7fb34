"""The registry in the admin: who may see it, what it shows, and what cannot be done there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.urls import path
from django.utils import timezone

from django_multisession.registry.admin import RegisteredSessionAdmin, SessionsInline
from django_multisession.registry.models import RegisteredSession
from django_multisession.testing.servers.base import free_port
from tests.registry.rows import row_of

pytestmark = pytest.mark.django_db


class _UserAdmin(UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    inlines = [*UserAdmin.inlines, SessionsInline]


site = admin.AdminSite()
site.register(User, _UserAdmin)
site.register(RegisteredSession, RegisteredSessionAdmin)
urlpatterns = [path("admin/", site.urls)]

LIST = "/admin/multisession_registry/registeredsession/"


@pytest.fixture(autouse=True)
def _urls() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", "ann@example.com")


def staff(*permissions: str, superuser: bool = False) -> Client:
    """Return the client of a member of staff who may do that."""
    user = User.objects.create_user("staff", is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    client = Client()
    client.force_login(user)
    return client


def shown(client: Client, **query: str) -> set[str]:
    """Return the primary keys of the rows that the list shows."""
    response: Any = client.get(LIST, query)
    assert response.status_code == 200
    return {str(row.pk) for row in response.context["cl"].result_list if row.user.username != "staff"}


def test_list_and_page_show_no_key(ann: User) -> None:
    row = row_of(ann, previous_key="b" * 40)
    client = staff(superuser=True)
    user_page = f"/admin/auth/user/{ann.pk}/change/"
    for url in (LIST, f"{LIST}{row.pk}/change/", user_page):
        text = client.get(url).content.decode()
        assert "Firefox on Windows" in text
        assert not [key for key in (row.storage_key, row.previous_key) if key in text]
        assert str(client.session.session_key) not in text


def test_inline_shows_the_live_sessions_of_the_user_and_no_form(ann: User) -> None:
    row_of(ann, ip_address="203.0.113.9")
    row_of(ann, ip_address="203.0.113.10", revoked_at=timezone.now())
    text = staff("view_user", "change_user", "view_registeredsession").get(f"/admin/auth/user/{ann.pk}/change/")
    assert "203.0.113.9<" in text.content.decode()
    assert "203.0.113.10" not in text.content.decode()
    assert 'name="registered_sessions-0-label"' not in text.content.decode()


def test_inline_is_not_shown_without_the_permission(ann: User) -> None:
    row_of(ann, ip_address="203.0.113.9")
    response = staff("view_user", "change_user").get(f"/admin/auth/user/{ann.pk}/change/")
    assert response.status_code == 200
    assert "203.0.113.9" not in response.content.decode()


def test_list_needs_the_permission_to_view(ann: User) -> None:
    row = row_of(ann)
    client = staff("revoke_session")
    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 403


def test_nothing_is_added_changed_or_deleted_by_hand_even_by_a_superuser(ann: User) -> None:
    row = row_of(ann, label="phone")
    client = staff(superuser=True)
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{row.pk}/change/", {"label": "mine"}).status_code == 403
    assert client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"})
    text = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "deletelink" not in text
    assert RegisteredSession.objects.get(pk=row.pk).label == "phone"


def test_user_with_sessions_can_be_deleted(ann: User) -> None:
    row_of(ann)
    client = staff("view_user", "delete_user", "view_registeredsession")
    url = f"/admin/auth/user/{ann.pk}/delete/"
    assert "have permission to delete" not in client.get(url).content.decode()
    assert client.post(url, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=ann.pk).exists()


def test_action_is_offered_with_its_permission_alone(ann: User) -> None:
    row_of(ann)
    assert 'value="revoke"' not in staff("view_registeredsession").get(LIST).content.decode()
    User.objects.get(username="staff").delete()
    assert 'value="revoke"' in staff("view_registeredsession", "revoke_session").get(LIST).content.decode()


def test_action_without_the_permission_is_refused(ann: User) -> None:
    row = row_of(ann)
    staff("view_registeredsession").post(LIST, {"action": "revoke", "_selected_action": row.pk})
    row.refresh_from_db()
    assert row.revoked_at is None


def test_search_and_filters_find(ann: User) -> None:
    now = timezone.now()
    bob = User.objects.create_user("bob", "bob@example.com")
    of_ann = row_of(ann)
    of_bob = row_of(bob, session_name="cart")
    ended = row_of(bob, revoked_at=now)
    expired = row_of(bob, expires_at=now - timedelta(days=1))
    old = row_of(ann, authenticated_at=now - timedelta(days=40))

    def keys(*rows: RegisteredSession) -> set[str]:
        return {str(row.pk) for row in rows}

    client = staff(superuser=True)
    assert shown(client, q="ann") == keys(of_ann, old)
    assert shown(client, q="bob@example") == keys(of_bob, ended, expired)
    assert shown(client, state="live") == keys(of_ann, of_bob, old)
    assert shown(client, state="ended") == keys(ended, expired)
    assert shown(client, session_name="cart") == keys(of_bob)
    assert shown(client, age="month") == keys(old)
    assert old.pk not in map(int, shown(client, age="day"))
    assert shown(client, age="nonsense", state="nonsense") == keys(of_ann, of_bob, ended, expired, old)


@pytest.mark.parametrize("lookup", ["storage_key__startswith", "previous_key", "user__password__startswith"])
def test_list_is_not_searched_by_what_is_not_shown(ann: User, lookup: str) -> None:
    row = row_of(ann)
    assert staff(superuser=True).get(LIST, {lookup: row.storage_key[0]}).status_code == 400


def test_list_of_many_users_asks_a_bounded_number_of_queries(ann: User, django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        row_of(User.objects.create_user(f"user{number}"))
    client = staff(superuser=True)
    shown(client)  # the session that looks on gets its row
    with django_assert_max_num_queries(12):
        assert len(shown(client)) >= 30


def test_action_ends_the_sessions_and_says_who_did_it(ann: User, settings: Any) -> None:
    settings.SESSION_ENGINE = "django_multisession.engines.memory"
    rows = [row_of(ann), row_of(ann)]
    kept, ended = row_of(ann), row_of(ann, revoked_at=timezone.now() - timedelta(days=1))
    client = staff("view_registeredsession", "revoke_session")
    chosen = [row.pk for row in (*rows, ended)]
    response = client.post(LIST, {"action": "revoke", "_selected_action": chosen}, follow=True)
    assert "2 sessions were revoked." in response.content.decode()
    live = RegisteredSession.objects.filter(revoked_at=None, user=ann)
    assert [row.pk for row in live] == [kept.pk]
    entries = LogEntry.objects.values_list("user__username", "object_id", "change_message")
    assert sorted(entries) == [("staff", str(row.pk), "Revoked.") for row in rows]


@pytest.mark.django_db(transaction=True)  # an outage is raised where no transaction is to end first
def test_action_in_an_outage_says_that_they_are_marked(ann: User, settings: Any) -> None:
    settings.MULTISESSION = {
        "away": {
            "ENGINE": "django_multisession.engines.redis",
            "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
            "TIMEOUT": 0.2,
        }
    }
    row = row_of(ann, session_name="away")
    client = staff("view_registeredsession", "revoke_session")
    response = client.post(LIST, {"action": "revoke", "_selected_action": row.pk}, follow=True)
    assert "They are marked, and end soon after it answers again." in response.content.decode()
    row.refresh_from_db()
    assert row.revoked_at is not None


def test_action_on_a_session_that_nobody_can_revoke_says_why(ann: User, settings: Any) -> None:
    settings.MULTISESSION = {"cart": {"ENGINE": "django_multisession.engines.signed_cookies"}}
    rows = [row_of(ann, session_name="cart"), row_of(ann)]
    client = staff("view_registeredsession", "revoke_session")
    chosen = [row.pk for row in rows]
    response = client.post(LIST, {"action": "revoke", "_selected_action": chosen}, follow=True)
    assert "REVOCABLE" in response.content.decode()
    assert "1 session was revoked." in response.content.decode()
    assert list(LogEntry.objects.values_list("object_id", flat=True)) == [str(rows[1].pk)]
    rows[0].refresh_from_db()
    assert rows[0].revoked_at is None
