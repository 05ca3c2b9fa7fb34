"""A carry into a store that shares the view's transaction: what is rolled back here is still there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

MEMORY = "django_multisession.engines.memory"
DATABASE = "django_multisession.engines.db"

pytestmark = pytest.mark.django_db(transaction=True)


def sessions(engine: str, **entry: Any) -> Any:
    """Return an engine's SessionStore under its settings, and those settings, to be entered."""
    settings = override_settings(SESSION_ENGINE=engine, MULTISESSION={"default": entry})
    return settings, import_module(engine).SessionStore


def stored_there() -> str:
    settings, session_class = sessions(MEMORY)
    with settings:
        session = session_class()
        session["count"] = 1
        session.save()
        return str(session.session_key)


def there(key: str) -> dict[str, Any]:
    settings, session_class = sessions(MEMORY)
    with settings:
        return dict(session_class(key).items())


FALLBACK = {"ENGINE": MEMORY, "UNTIL": "2100-01-01"}


@pytest.mark.parametrize("rolled_back", [False, True], ids=["committed", "rolled_back"])
def test_session_is_removed_there_once_its_transaction_stands(rolled_back: bool) -> None:
    key = stored_there()
    settings, session_class = sessions(DATABASE, FALLBACK=FALLBACK)
    with settings:
        with transaction.atomic():
            session = session_class(key)
            session["count"] += 1
            session.save()
            transaction.set_rollback(rolled_back)
        assert (there(key) == {}) is not rolled_back
        assert dict(session_class(key).items()) == {"count": 1 if rolled_back else 2}


def test_logout_in_the_transaction_of_the_carry_is_final() -> None:
    key = stored_there()
    settings, session_class = sessions(DATABASE, FALLBACK=FALLBACK)
    with settings:
        with transaction.atomic():
            session_class(key).flush()
        assert dict(session_class(key).items()) == {}
    assert there(key) == {}
