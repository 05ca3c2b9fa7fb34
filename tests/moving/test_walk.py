"""manage.py migratesessions: the walk from what can be listed to servers of ours."""

from __future__ import annotations

import io
import secrets
import signal
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import override_settings
from tqdm import tqdm

from django_multisession.bridge import iterate, run_sync
from django_multisession.management.commands import migratesessions
from django_multisession.moving import walk
from django_multisession.moving.carrying import Carrying
from django_multisession.moving.sources import source_of
from django_multisession.moving.walk import Outcome, Walk
from django_multisession.runtime import reset
from django_multisession.sessions.loading import session_class
from django_multisession.testing import Interleaved, Plan
from django_multisession.testing.servers.proxy import Proxy
from django_multisession.testing.servers.redis import RedisServer
from tests.moving.places import DJANGOS, PLACES, Place, configured

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.server,
]
ENGINES = "django_multisession.engines"
UNTIL = "2999-01-01"
LISTED = [place for place in PLACES if place.name in ("db", "cached_db-redis", "file", "user_sessions", "qsessions")]
DB = PLACES[0]


def call(*arguments: str) -> str:
    """Return what the command prints."""
    output = io.StringIO()
    call_command("migratesessions", *arguments, stdout=output)
    return output.getvalue()


def failure(*arguments: str) -> tuple[str, CommandError]:
    """Return what a command that fails prints, and its error."""
    output = io.StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("migratesessions", *arguments, stdout=output)
    return output.getvalue(), raised.value


@pytest.fixture(autouse=True)
def _nothing_of_other_tests() -> Iterator[None]:
    reset()
    yield
    reset()


@pytest.fixture
def entry(redis_server: RedisServer) -> dict[str, Any]:
    """The entry of a target that is empty."""
    return {"LOCATION": redis_server.location, "KEY_PREFIX": secrets.token_hex(4), "TIMEOUT": 20.0}


def target(entry: dict[str, Any], engine: str = f"{DJANGOS}.db", **fallback: Any) -> override_settings:
    """Return the settings of the second deploy, on redis."""
    named = {"ENGINE": engine, "UNTIL": UNTIL, **fallback}
    named = {key: value for key, value in named.items() if value is not None}
    return override_settings(SESSION_ENGINE=f"{ENGINES}.redis", MULTISESSION={"default": {**entry, "FALLBACK": named}})


def save(place: Place, count: int, **data: Any) -> list[str]:
    """Save so many sessions by the engine itself; return their keys."""
    keys = []
    for n in range(count):
        session = place.store()
        session["n"] = n
        session.update(data)
        session.save()
        keys.append(str(session.session_key))
    return keys


@pytest.mark.parametrize("place", LISTED, ids=lambda place: place.name)
def test_walk_moves_what_can_be_listed(
    place: Place, request: pytest.FixtureRequest, tmp_path: Path, entry: dict[str, Any]
) -> None:
    location = request.getfixturevalue(place.server).location if place.server else None
    with configured(place, location, tmp_path):
        keys = save(place, 5)
        with target(entry, place.engine):
            assert "5 would be moved" in call("--dry-run")
            assert call("--batch-size", "2").startswith("default: 5 moved from ")
            store = session_class("default")
            assert sorted(store(key)["n"] for key in keys) == list(range(5))
            assert "0 moved" in call()
        assert all(run_sync(_there(place, key)) is None for key in keys)


async def _there(place: Place, key: str) -> Any:
    return await source_of(place.fallback()).read(key)


def test_walk_leaves_what_has_expired_and_fails_for_what_cannot_be_read(entry: dict[str, Any]) -> None:
    save(DB, 2)
    expired, unreadable = save(DB, 1), save(DB, 1)
    Session.objects.filter(session_key__in=expired).update(expire_date="2000-01-01T00:00:00Z")
    Session.objects.filter(session_key__in=unreadable).update(session_data="damaged")
    with target(entry):
        output, error = failure()
    assert "2 moved" in output
    assert "0 skipped, 1 failed" in output
    assert "failed: 1 unreadable: it is not signed with SECRET_KEY" in output
    assert error.returncode == 1
    assert not any(key in output + str(error) for key in unreadable)
    assert set(Session.objects.values_list("session_key", flat=True)) == {*expired, *unreadable}


def test_walk_passes_by_what_is_here_already_and_what_has_ended_here(entry: dict[str, Any]) -> None:
    key, ended, other = save(DB, 3)
    row = Session.objects.get(session_key=ended)
    with target(entry, CARRY=False):
        session_class("default")(ended).flush()
    row.save(force_insert=True)  # by a process that was late
    with target(entry):
        session_class("default")(key).get("n")
        output = call()
        assert "1 moved" in output
        assert "1 skipped, 0 failed" in output
        assert dict(session_class("default")(ended).items()) == {}
        assert session_class("default")(other)["n"] == 2


def test_walk_before_the_second_deploy_says_so(entry: dict[str, Any]) -> None:
    with target(entry, CARRY=False):
        output, error = failure()
    assert output == ""
    assert "Remove CARRY" in str(error)


def test_walk_without_a_fallback_has_nothing_to_do(entry: dict[str, Any]) -> None:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.redis", MULTISESSION={"default": entry}):
        assert "has no FALLBACK" in call()
    with target(entry, UNTIL="2020-01-01"):
        assert "Remove FALLBACK" in call()


@pytest.mark.parametrize("name", ["cache-redis", "signed_cookies"])
def test_walk_says_what_cannot_be_walked_and_what_happens_then(
    name: str, tmp_path: Path, entry: dict[str, Any]
) -> None:
    place = next(place for place in PLACES if place.name == name)
    with configured(place, entry["LOCATION"], tmp_path), target(entry, place.engine, ALLOW_PICKLE=True):
        output = call()
    assert "default: cannot be walked: " in output
    assert "next request" in output


@pytest.mark.parametrize("engine", ["memcached", "memory", "encrypted_cookies"])
def test_walk_from_what_of_ours_cannot_be_listed_says_so(engine: str, entry: dict[str, Any]) -> None:
    with target(entry, f"{ENGINES}.{engine}"):
        output = call()
    assert "cannot be walked" in output
    assert "next request" in output


def test_walk_into_cookies_is_said_to_need_the_visitors() -> None:
    fallback = {"ENGINE": f"{DJANGOS}.db", "UNTIL": UNTIL}
    with override_settings(
        SESSION_ENGINE=f"{ENGINES}.signed_cookies", MULTISESSION={"default": {"FALLBACK": fallback}}
    ):
        assert "cannot be walked" in call()


def test_two_walks_at_once_move_each_session_once(entry: dict[str, Any]) -> None:
    keys = save(DB, 20)
    with target(entry):
        places = session_class("default").records()
        walks = [iterate(Walk(places).steps(at_once=at_once)) for at_once in (3, 2)]
        groups = [group for pair in zip_longest(*walks) for group in pair if group]  # the first goes first, each time
        steps = [step for group in groups for step in group]
        assert [step.outcome for step in steps].count(Outcome.MOVED) == 20
        assert {step.outcome for step in steps} == {Outcome.MOVED, Outcome.SKIPPED}
        assert sorted(session_class("default")(key)["n"] for key in keys) == list(range(20))
    assert not Session.objects.exists()


def test_walk_follows_what_changes_and_ends_under_it(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    changed, ended, kept = save(DB, 3)
    clear = Carrying.settle_many

    async def meanwhile(self: Carrying, brought: Any) -> Any:
        """Let a process of the old release write one that was inserted here, and end another."""
        session = DB.store(changed)
        session["n"] = 10
        session.save()
        DB.store(ended).delete()
        return await clear(self, brought)

    monkeypatch.setattr(Carrying, "settle_many", meanwhile)
    with target(entry):
        output = call()
        assert "2 moved" in output
        assert "1 skipped, 0 failed" in output
        store = session_class("default")
        assert (store(changed)["n"], store(kept)["n"]) == (10, 2)
        assert store(ended).load() == {}
    assert not Session.objects.exists()


@pytest.mark.parametrize("retryable", [True, False], ids=["connection", "server"])
@pytest.mark.parametrize("lose", ["command", "reply"])
def test_walk_knows_its_own_insertions_after_an_outage(entry: dict[str, Any], lose: Any, retryable: bool) -> None:
    keys, plan = save(DB, 3), Plan()
    with target(entry):
        places: Any = session_class("default").records()
        places.store = Interleaved.around(places.store, plan)
        plan.on("insert_many", lose=lose, retryable=retryable)
        assert "3 moved" in call()
        assert plan.done()
        assert sorted(session_class("default")(key)["n"] for key in keys) == [0, 1, 2]
    assert not Session.objects.exists()


def test_walk_says_of_each_what_does_not_fit(entry: dict[str, Any]) -> None:
    (small,) = save(DB, 1)
    save(DB, 1, text="a" * 2000)
    with target(entry):
        places: Any = session_class("default").records()
        plan = Plan()
        plan.max_payload = 1500
        places.store = Interleaved.around(places.store, plan)
        output, _ = failure()
        assert "1 moved" in output
        assert "failed: 1 unreadable: it comes from where its FALLBACK says, and takes" in output
        assert session_class("default")(small)["n"] == 0


def test_walk_that_is_stopped_goes_on_later(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    keys = save(DB, 6)
    steps = Walk.steps

    async def interrupted(self: Walk, batch_size: int, at_once: int) -> Any:
        async for group in steps(self, batch_size, at_once):
            signal.raise_signal(signal.SIGINT)
            yield group

    with target(entry):
        with monkeypatch.context() as patch:
            patch.setattr(Walk, "steps", interrupted)
            output, error = failure("--batch-size", "2")
        assert "2 moved" in output
        assert error.returncode == migratesessions.INTERRUPTED
        assert Session.objects.count() == 4
        assert "4 moved" in call()
        assert sorted(session_class("default")(key)["n"] for key in keys) == list(range(6))


def test_walk_with_a_rate_keeps_to_it(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    save(DB, 5)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with target(entry):
        call("--rate", "1")
    # Nothing has slept in truth: each is due a second after the one before.
    assert len(slept) == 5
    assert 3 < max(slept) <= 5


def test_walk_that_is_watched_says_how_far_it_is(entry: dict[str, Any]) -> None:
    save(DB, 5)
    with target(entry):
        lines = call("--batch-size", "2", "--verbosity", "2").splitlines()
    assert [line.partition(";")[0] for line in lines] == ["default: 2", "default: 4", lines[2].partition(";")[0]]
    assert all("sessions a second" in line for line in lines)


def test_walk_on_a_terminal_shows_how_much_is_left(entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    save(DB, 3)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    bars: list[Any] = []

    def made(**options: Any) -> Any:
        bars.append(options)
        return tqdm(**{**options, "disable": False, "file": io.StringIO()})

    monkeypatch.setattr(migratesessions, "tqdm", made)
    with target(entry):
        call_command("migratesessions", stdout=terminal)
    assert [(bar["total"], bar["disable"]) for bar in bars] == [(3, None)]


def test_walk_waits_for_a_server_and_gives_up(
    entry: dict[str, Any], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(DB, 3)
    monkeypatch.setattr(walk, "PATIENCE", 0.5)
    with Proxy(redis_server) as proxy, target({**entry, "LOCATION": proxy.location, "TIMEOUT": 1.0}):
        proxy.refuse()
        output, error = failure()
        assert "0 moved" in output
        assert "Run it again" in str(error)
        proxy.restore()
        monkeypatch.setattr(walk, "PATIENCE", 30.0)
        assert "3 moved" in call()


# Engines of ours, which hold hashes of keys.


def ours(entry: dict[str, Any], **fallback: Any) -> override_settings:
    """Return the settings of a move from db to redis, both ours."""
    return target(entry, f"{ENGINES}.db", **fallback)


def save_ours(count: int, **entry: Any) -> list[str]:
    with override_settings(SESSION_ENGINE=f"{ENGINES}.db", MULTISESSION={"default": entry}):
        keys = []
        for n in range(count):
            session = session_class("default")()
            session["n"] = n
            session.save()
            keys.append(str(session.session_key))
        return keys


def test_walk_copies_records_where_keys_are_hashed_alike(entry: dict[str, Any]) -> None:
    keys = save_ours(4, KEY_PREFIX=entry["KEY_PREFIX"])
    with ours(entry, KEY_PREFIX=entry["KEY_PREFIX"]):
        assert run_sync(Walk(session_class("default").records()).total()) == 4
        assert "4 would be moved" in call("--dry-run")
        assert "4 moved" in call()
        assert sorted(session_class("default")(key)["n"] for key in keys) == list(range(4))
        assert "0 moved" in call()


def test_walk_copies_no_records_where_keys_are_hashed_otherwise(entry: dict[str, Any]) -> None:
    keys = save_ours(2)
    with ours(entry):
        assert "KEY_PREFIX" in call()
        assert session_class("default")(keys[0])["n"] == 0  # which moves it
        assert session_class("default")(keys[1])["n"] == 1


def test_walk_fails_for_records_of_secrets_that_the_entry_does_not_have(entry: dict[str, Any]) -> None:
    prefix = entry["KEY_PREFIX"]
    save_ours(2, KEY_PREFIX=prefix, KEYS=["another secret"])
    with ours(entry, KEY_PREFIX=prefix, KEYS=["another secret"]):
        output, error = failure()
    assert "failed: 2 unreadable: sealed with a secret" in output
    assert error.returncode == 1


def test_logout_of_a_record_that_a_stopped_walk_has_left_in_both_places_is_final(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = entry["KEY_PREFIX"]
    (key,) = save_ours(1, KEY_PREFIX=prefix)
    with ours(entry, KEY_PREFIX=prefix):
        places: Any = session_class("default").records()
        with monkeypatch.context() as stopped:
            stopped.setattr(type(places.source.store), "delete", _stop)
            with pytest.raises(KeyboardInterrupt):
                call()
        assert session_class("default")(key)["n"] == 0
        session_class("default")(key).flush()
        assert session_class("default")(key).load() == {}
        assert "0 moved" in call()
        assert session_class("default")(key).load() == {}
        assert run_sync(places.source.store.read(places.key(key).storage_key)) is None


async def _stop(*arguments: Any) -> bool:
    raise KeyboardInterrupt
