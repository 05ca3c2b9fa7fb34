"""The repository of sessions by itself: a store in memory, and nothing of Django's sessions."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from django.test import override_settings

from django_multisession.bridge import run_sync
from django_multisession.exceptions import SessionTooLarge
from django_multisession.keys import new_session_key
from django_multisession.runtime import monotonic
from django_multisession.sessions import repository as module
from django_multisession.sessions.config import session_config
from django_multisession.sessions.draft import Draft
from django_multisession.sessions.exceptions import SessionConflict
from django_multisession.sessions.loaded import Loaded, Saved
from django_multisession.sessions.records import Records
from django_multisession.sessions.repository import Repository
from django_multisession.sessions.save_queue import SWAP_ATTEMPTS
from django_multisession.stores.memory import MemoryStore

LIMIT = 2000
TIMEOUT = 5.0


def draft(data: dict[str, Any]) -> Draft:
    return Draft(data, 3600, lambda _: 3600, 1_800_000_000.0)


class Beside(Records):
    """Records between whose reading and writing something happens."""

    meanwhile: Callable[[], object] | None = None
    swaps = 0

    async def replace(self, *arguments: Any, **options: Any) -> Loaded | None:
        self.swaps += 1
        if self.meanwhile is not None and self.meanwhile() is False:
            return None
        return await super().replace(*arguments, **options)


@pytest.fixture
def records() -> Iterator[Beside]:
    with override_settings(MULTISESSION={"default": {"TIMEOUT": TIMEOUT}}):
        config = session_config("default")
        yield Beside(MemoryStore(), config.record_codec, config.storage_keys, LIMIT)


@pytest.fixture
def repository(records: Beside, monkeypatch: pytest.MonkeyPatch) -> Repository:
    async def at_once(attempt: int) -> None:
        pass

    monkeypatch.setattr(module, "back_off", at_once)
    return Repository(records, session_config("default"))


@pytest.fixture
def stored(repository: Repository, records: Beside) -> Loaded:
    saved = run_sync(repository.insert(records.key(new_session_key()), draft({"a": "m"}), None))
    assert saved is not None
    return saved.loaded


@pytest.mark.parametrize("takes", [0.0, TIMEOUT, TIMEOUT + 0.1])
def test_merge_that_takes_longer_than_the_timeout_is_not_tried_again(
    repository: Repository, stored: Loaded, monkeypatch: pytest.MonkeyPatch, takes: float
) -> None:
    records: Any = repository.records
    now = monotonic()
    later = [0.0]

    def lose() -> bool:
        later[0] = takes
        return False

    records.meanwhile = lose
    monkeypatch.setattr(module, "monotonic", lambda: now + later[0])
    with pytest.raises(SessionConflict, match="too often"):
        run_sync(repository.merge_in(stored.key, stored, draft({"a": "n"})))
    assert records.swaps == (1 if takes > TIMEOUT else SWAP_ATTEMPTS)


@pytest.mark.parametrize("later", ["a", "z"])
def test_merge_takes_along_what_is_changed_while_it_is_written(
    repository: Repository, records: Beside, stored: Loaded, later: str
) -> None:
    data = {"a": "n"}
    records.meanwhile = lambda: data.update(a=later)
    saved = run_sync(repository.merge_in(stored.key, stored, draft(data)))
    assert saved.body.data == {"a": later}


def test_merge_returns_what_it_has_written_where_nothing_is_changed_meanwhile(
    repository: Repository, records: Beside, stored: Loaded
) -> None:
    other = run_sync(repository.save(stored, draft({"a": "m", "theirs": 1})))
    saved = run_sync(repository.merge_in(stored.key, stored, draft({"a": "n"})))
    assert saved.body.data == {"a": "n", "theirs": 1}
    assert saved.loaded.header.version != other.loaded.header.version
    assert saved.written


def insert(repository: Repository, stored: Loaded, new: Draft) -> Coroutine[Any, Any, Saved | None]:
    return repository.insert(repository.records.key(new_session_key()), new, None)


def save(repository: Repository, stored: Loaded, new: Draft) -> Coroutine[Any, Any, Saved]:
    return repository.save(stored, new)


def replace_all(repository: Repository, stored: Loaded, new: Draft) -> Coroutine[Any, Any, Saved]:
    return repository.replace_all(stored.key, stored, new)


def merge_in(repository: Repository, stored: Loaded, new: Draft) -> Coroutine[Any, Any, Saved]:
    return repository.merge_in(stored.key, stored, new)


async def validate(repository: Repository, stored: Loaded, new: Draft) -> None:
    repository.validate(new)


@pytest.mark.parametrize("write", [insert, save, replace_all, merge_in, validate])
def test_session_that_is_too_large_names_its_largest_keys(
    repository: Repository, stored: Loaded, write: Callable[..., Coroutine[Any, Any, Any]]
) -> None:
    expected = rf"'default' takes \d+ bytes; memory keeps at most {LIMIT}\. Its largest keys: 'large' \(\d+ bytes\)"
    with pytest.raises(SessionTooLarge, match=expected):
        run_sync(write(repository, stored, draft({"large": os.urandom(LIMIT).hex(), "a": "m"})))
    found: Any = run_sync(repository.load(stored.key, 1_800_000_000.0))
    assert found[1].data == {"a": "m"}
