"""What the registry refuses of a project's settings, but for those of cookies (test_revocable_settings.py)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from django_multisession.registry.checks import check_registry
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
