"""The repository of sessions by itself: a store in memory, and nothing of Django's sessions."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from django.test import override_settings

from django_multisession.bridge import run_sync
from django_multisession.envelope import REGISTERED, SERVER_SKEW, SKEW
from django_multisession.exceptions import SessionTooLarge, StoreUnavailable
from django_multisession.keys import new_session_key
from django_multisession.runtime import monotonic
from django_multisession.sessions import repository as module
from django_multisession.sessions.config import session_config
from django_multisession.sessions.draft import Draft
from django_multisession.sessions.exceptions import SessionConflict
from django_multisession.sessions.loaded import Loaded, Saved
from django_multisession.sessions.records import Records, replacing
from django_multisession.sessions.repository import Repository
from django_multisession.sessions.save_queue import SWAP_ATTEMPTS
from django_multisession.stores.memory import MemoryStore

LIMIT = 2000
NOW = 1_800_000_000.0
TIMEOUT = 5.0


def draft(data: dict[str, Any]) -> Draft:
    return Draft(data, 3600, lambda _: 3600, NOW)


class Beside(Records):
    """Records between whose reading and writing something happens."""

    meanwhile: Callable[[], object] | None = None
    swaps = 0
    repeats: bool | None = None

    async def replace(self, *arguments: Any, **options: Any) -> Loaded | None:
        self.swaps += 1
        self.repeats = options["repeatable"]() if "repeatable" in options else None
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
    expected = rf"'default' takes \d+ bytes; MAX_SIZE allows {LIMIT}\. Its largest keys: 'large' \(\d+ bytes\)"
    with pytest.raises(SessionTooLarge, match=expected):
        run_sync(write(repository, stored, draft({"large": os.urandom(LIMIT).hex(), "a": "m"})))
    found: Any = run_sync(repository.load(stored.key, NOW))
    assert found[1].data == {"a": "m"}


def test_session_that_is_too_large_for_its_server_names_the_server(repository: Repository, records: Beside) -> None:
    records.store.max_payload = 1000
    with pytest.raises(SessionTooLarge, match=r"takes \d+ bytes; memory keeps at most 1000\."):
        repository.validate(draft({"large": os.urandom(1000).hex()}))


def test_end_of_a_session_that_was_not_loaded_follows_its_pointer(
    repository: Repository, records: Beside, stored: Loaded
) -> None:
    target = run_sync(repository.insert(records.key(new_session_key()), draft({"a": "n"}), None))
    assert target is not None
    assert run_sync(records.point(stored, target.loaded.key, replacing(stored, NOW)))
    had = run_sync(repository.delete(stored.key, None))
    assert had[0] == stored.key.storage_key
    assert had[-1] == target.loaded.key.storage_key
    assert run_sync(records.read(target.loaded.key)) is None


@pytest.mark.parametrize("ages", [SERVER_SKEW, SERVER_SKEW + 1])
def test_session_past_its_end_by_more_than_clocks_may_differ_is_not_loaded(
    repository: Repository, records: Beside, stored: Loaded, ages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_skew", SERVER_SKEW)
    found = run_sync(repository.load(stored.key, stored.header.expires_at + ages))
    assert (found is None) is (ages > SERVER_SKEW)


def test_session_may_have_max_keys_and_no_more(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "_most_keys", 2)
    repository.validate(draft({"a": 1, "b": 1}))
    with pytest.raises(SessionTooLarge, match="has 3 keys; MAX_KEYS allows 2"):
        repository.validate(draft({"a": 1, "b": 1, "c": 1}))


def test_session_with_more_keys_than_are_allowed_by_now_is_prolonged(
    repository: Repository, stored: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_most_keys", 0)
    later = draft({"a": "m"})._replace(now=NOW + 3000)
    assert run_sync(repository.save(stored, later)).written


def test_prolonging_that_met_an_outage_is_tried_by_the_next_request(
    repository: Repository, records: Beside, stored: Loaded
) -> None:
    def fail() -> bool:
        raise StoreUnavailable("memory", "for this test")

    later = draft({"a": "m"})._replace(now=NOW + 3000)
    records.meanwhile = fail
    assert not run_sync(repository.save(stored, later)).written
    records.meanwhile = None
    assert run_sync(repository.save(stored, later)).written


@pytest.mark.parametrize(
    ("entry", "data", "repeats"),
    [({}, {"a": "n"}, True), ({}, {"_flash": ["n"]}, False), ({"ON_CONFLICT": "strict"}, {"a": "n"}, False)],
)
def test_change_is_repeated_after_a_lost_reply_where_that_gives_the_same(
    records: Beside, stored: Loaded, entry: dict[str, Any], data: dict[str, Any], repeats: bool
) -> None:
    with override_settings(MULTISESSION={"default": {"TIMEOUT": TIMEOUT, **entry}}):
        run_sync(Repository(records, session_config("default")).save(stored, draft(data)))
    assert records.repeats is repeats


@pytest.mark.parametrize("is_loaded", [True, False])
def test_replacing_all_takes_one_swap(repository: Repository, records: Beside, stored: Loaded, is_loaded: bool) -> None:
    records.swaps = 0
    run_sync(repository.replace_all(stored.key, stored if is_loaded else None, draft({"new": 1})))
    found: Any = run_sync(repository.load(stored.key, NOW))
    assert (found[1].data, records.swaps) == ({"new": 1}, 1)


def test_mark_of_a_login_stays_with_a_save_and_not_with_a_new_key(repository: Repository, stored: Loaded) -> None:
    users = {"_auth_user_id": "1"}
    marked = stored._replace(header=stored.header._replace(flags=REGISTERED))
    login = draft(users)._replace(user_before="1")
    saved = run_sync(repository.save(marked, login))
    assert saved.loaded.header.flags == REGISTERED
    key = repository.records.key(new_session_key())
    continued = run_sync(repository.insert(key, login, saved.loaded))
    assert continued is not None
    assert continued.loaded.header.flags == 0


@pytest.mark.parametrize(
    ("entry", "later", "is_there"),
    [
        ({}, 1000, True),
        ({"ABSOLUTE_TIMEOUT": 100}, 100 + SKEW, True),
        ({"ABSOLUTE_TIMEOUT": 100}, 100 + SKEW + 1, False),
        ({"IDLE_TIMEOUT": 100}, 1000, True),  # what it was saved with holds until it is saved again
    ],
)
def test_load_finds_nothing_older_than_the_absolute_timeout_of_now(
    records: Beside, stored: Loaded, entry: dict[str, Any], later: int, is_there: bool
) -> None:
    with override_settings(MULTISESSION={"default": {"TIMEOUT": TIMEOUT, **entry}}):
        found = run_sync(Repository(records, session_config("default")).load(stored.key, NOW + later))
    assert (found is not None) is is_there
