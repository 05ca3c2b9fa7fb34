"""Sessions as Python objects: copied, patched, subclassed."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from unittest.mock import Mock

import pytest

from django_multisession.engines.memory import SessionStore


class FailsAfterwards(SessionStore):
    """A project's own: save() does more than ours, and that fails."""

    fails = False

    def save(self, must_create: bool = False) -> None:
        super().save(must_create)
        if self.fails:
            raise RuntimeError("the project's own")


def stored(session_class: type[Any] = SessionStore) -> Any:
    session = session_class()
    session["a"] = 1
    session.save()
    return session


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda session: pickle.loads(pickle.dumps(session))])  # noqa: S301 - what was pickled here
def test_session_with_cookie_options_can_be_copied(copied: Any) -> None:
    session = SessionStore()
    session.set_cookie_options(samesite="Strict")
    session["a"] = 1
    session.save()
    twin = copied(session)
    assert twin["a"] == 1
    assert twin.cookie().samesite == "Strict"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda session: pickle.loads(pickle.dumps(session))])  # noqa: S301 - what was pickled here
def test_session_that_was_loaded_can_be_copied(copied: Any) -> None:
    session = SessionStore(stored().session_key)
    assert session["a"] == 1
    twin = copied(session)
    twin["a"] = 2
    twin.save()
    assert SessionStore(session.session_key)["a"] == 2


@pytest.mark.parametrize("name", ["save", "create"])
def test_method_that_was_replaced_on_the_instance_is_called(name: str) -> None:
    session = SessionStore()
    replaced = Mock()
    setattr(session, name, replaced)
    SessionStore.save(session) if name == "create" else session.create()
    replaced.assert_called_once()


def test_create_that_fails_leaves_the_session_as_it_was_loaded() -> None:
    session = FailsAfterwards(stored().session_key)
    session["a"] = 2
    session.fails = True
    with pytest.raises(RuntimeError, match="own"):
        session.create()
    session.fails = False
    session["a"] = 3
    session.save()
    assert SessionStore(session.session_key)["a"] == 3


def test_sessions_share_no_options() -> None:
    first, second = SessionStore(), SessionStore()
    first.set_cookie_options(samesite="Strict")
    assert second.cookie_changes().all() == {}
