"""What the registry refuses of a project's settings, but for those of cookies (test_revocable_settings.py)."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from django_multisession.registry.checks import check_registry, check_tables
from django_multisession.registry.models import PendingDeletion, RegisteredSession, RegisteredUser


class Apart:
    """Sends some models to a database of their own."""

    models: tuple[Any, ...] = ()

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "apart" if model in self.models else None


@pytest.mark.parametrize("model", [User, RegisteredSession, RegisteredUser, PendingDeletion])
def test_registry_in_another_database_than_its_users_is_an_error(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Apart, "models", (model,))
    with override_settings(DATABASE_ROUTERS=[Apart()]):
        (message,) = check_registry()
    assert message.id == "multisession.E023"
    assert "auth.User to " in message.msg
    assert "'apart'" in message.msg


@pytest.mark.parametrize("models", [(), (User, RegisteredSession, RegisteredUser, PendingDeletion)])
def test_registry_in_the_database_of_its_users_is_right(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Apart, "models", models)
    with override_settings(DATABASE_ROUTERS=[Apart()]):
        assert check_registry() == []


@pytest.mark.parametrize("engine", ["memory", "signed_cookies"])
def test_registry_without_our_middleware_is_an_error(engine: str) -> None:
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware"]
    with override_settings(SESSION_ENGINE=f"django_multisession.engines.{engine}", MIDDLEWARE=middleware):
        (message,) = check_registry()
    assert message.id == "multisession.E024"
    assert "django_multisession.middleware.SessionMiddleware" in str(message.hint)


def test_registry_of_sessions_that_are_not_ours_needs_no_middleware_and_knows_no_login() -> None:
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware"]
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db", MIDDLEWARE=middleware):
        (message,) = check_registry()
    assert message.id == "multisession.W010"
    assert "SESSION_ENGINE is 'django.contrib.sessions.backends.db'" in message.msg


def test_registry_without_the_app_beneath_it_names_that() -> None:
    without = [name for name in settings.INSTALLED_APPS if name != "django_multisession"]
    with (
        pytest.raises(ImproperlyConfigured, match="Add 'django_multisession' to INSTALLED_APPS"),
        override_settings(INSTALLED_APPS=without),
    ):
        pass


@pytest.mark.django_db
@pytest.mark.parametrize("feature", ["supports_ignore_conflicts", "supports_update_conflicts"])
@pytest.mark.parametrize("command", ["check", "migrate"])
def test_database_that_cannot_insert_what_is_missing_is_an_error(
    feature: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Oracle's cannot, and some of other vendors."""
    monkeypatch.setattr(sys, "argv", ["manage.py", command])
    assert check_tables(databases=["default"]) == []
    monkeypatch.setattr(connection.features, feature, False)
    (message,) = check_tables(databases=["default"])
    assert message.id == "multisession.E025"
    assert "'default'" in message.msg
    assert "PostgreSQL" in str(message.hint)
