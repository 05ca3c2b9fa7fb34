"""revokesessions --all: what lives again after a backup was restored, and has no row or an old one."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.utils import timezone

from django_multisession.registry import many
from django_multisession.registry.models import RegisteredSession, RegisteredUser
from tests.registry.rows import row_of
from tests.system.backends import PATIENCE, Backend
from tests.system.conftest import backend

__all__ = ["backend"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(backend: Backend) -> Iterator[Any]:
    """The class of the default session, on every server-side engine."""
    with backend.configured(KEY_PREFIX=f"restore{secrets.token_hex(4)}", TIMEOUT=PATIENCE) as configured:
        yield configured


def kept(session: Any, **data: Any) -> Any:
    """Return a session that is in its store."""
    made = session()
    made.update(data or {"basket": 1})
    made.save()
    return made


def revoke_all() -> str:
    output = io.StringIO()
    call_command("revokesessions", "--all", "--yes", stdout=output)
    return output.getvalue()


def test_restored_records_are_deleted_where_the_store_lists_them(session: Any, backend: Backend) -> None:
    restored = [kept(session) for _ in range(8)]
    store = session.records().store
    if not store.scannable:
        with pytest.raises(CommandError, match=r"Change the KEY_PREFIX of MULTISESSION\['default'\]"):
            revoke_all()
        return
    assert max(many.delete_records(session, timezone.now(), batch_size=3)) <= 3
    restored += [kept(session) for _ in range(2)]
    output = revoke_all()
    assert f"2 records deleted from {store.name}." in output
    assert not [each for each in restored if session().exists(each.session_key)]


def test_every_login_from_before_is_refused(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_multisession.engines.memory"
    users = [User.objects.create_user(f"user{number}") for number in range(5)]
    long_ago = timezone.now() - timedelta(days=9)
    RegisteredUser.objects.create(user=users[0], revoked_at=long_ago)
    RegisteredUser.objects.create(user=users[1])
    before = timezone.now()
    assert sum(many.revoke_users(before, batch_size=2)) == 5
    assert list(RegisteredUser.objects.values_list("revoked_at", flat=True)) == [before] * 5
    assert sum(many.revoke_users(long_ago)) == 5  # what was revoked later stays so
    assert list(RegisteredUser.objects.values_list("revoked_at", flat=True)) == [before] * 5


def test_session_that_began_meanwhile_stays(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_multisession.engines.memory"
    from django_multisession.sessions.loading import session_class

    session = session_class("default")
    restored, new = kept(session), kept(session)
    moment = timezone.now()
    row_of(User.objects.create_user("ann"), storage_key=session.records().key(new.session_key).storage_key)
    assert sum(many.delete_records(session, moment)) == 1
    assert not session().exists(restored.session_key)
    assert session().exists(new.session_key)


@pytest.mark.parametrize("engine", ["signed_cookies", "encrypted_cookies"])
def test_cookies_are_left_to_a_new_prefix(engine: str) -> None:
    ours = override_settings(SESSION_ENGINE=f"django_multisession.engines.{engine}", MULTISESSION={})
    with ours, pytest.raises(CommandError, match=r"default: .* in the browsers' cookies\. Change the KEY_PREFIX"):
        revoke_all()


def test_store_that_does_not_answer_is_said_and_the_others_go_on(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_multisession.engines.redis"
    settings.MULTISESSION = {
        "default": {"LOCATION": "redis://127.0.0.1:1/0", "TIMEOUT": 0.2},
        "cart": {"ENGINE": "django_multisession.engines.memory"},
    }
    output = io.StringIO()
    with pytest.raises(CommandError, match=r"default: The session store at .* is unavailable") as raised:
        call_command("revokesessions", "--all", "--yes", stdout=output)
    assert raised.value.returncode == 1
    assert " deleted from memory." in output.getvalue()
    assert RegisteredSession.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_session_that_a_backup_brings_back_is_nobodys(settings: Any) -> None:
    """The record lives again, with its mark and without a row; and so does one that never had a mark."""
    settings.SESSION_ENGINE = "django_multisession.engines.memory"
    ann = User.objects.create_user("ann")
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(ann)
    RegisteredSession.objects.all().delete()
    revoke_all()
    new = Client()
    new.force_login(ann)
    assert [client.session.get("_auth_user_id") for client in (*clients, new)] == [None, None, str(ann.pk)]
